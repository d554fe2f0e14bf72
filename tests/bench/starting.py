#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon pictures come: at the start, and after a receiver was killed.

    starting.py BUILD start      from the start of both processes to the first buffer
    starting.py BUILD reconnect  the receiver of a stream of 60 a second is killed (SIGKILL): from
                                 the start of another to its first buffer

1080p v210 over loopback. Start: fabricsink and fabricsrc in any order; the others' second process
starts as soon as it may, when the first one listens. "one pipeline" is what a process, its
plugins and a first picture take with nothing between. Medians of --rounds. --json FILE has every
single figure.
"""
import functools
import json
import tempfile
import time

from elements import Fabric, Pair, Process, Shm, TcpElements, picture, present, source
from paths import path_of
from peers import Failed
from pipelines import providers_of
from report import median, parser, run, say, table, take_turns

MEDIA = picture('1080p')


def milliseconds(begun, found):
    return {'from-start-ms': (found['first'] - begun) * 1e3,
            'from-playing-ms': (found['first'] - found['playing']) * 1e3}


class OnePipeline:
    name = 'one pipeline'

    @staticmethod
    def start(build, *_):
        begun = time.monotonic()
        with Process(build, (), 'first',
                     f'{source(MEDIA, False)} ! fakesink name=sink sync=false') as process:
            process.read()  # "playing"
            return milliseconds(begun, json.loads(process.read()))


class Starting:
    def __init__(self, peer):
        self.name, self._peer = peer.name, peer

    def _pair(self, build, path, live, folder):
        return Pair(build, self._peer, [self._peer.lines(MEDIA, live, path, folder)], path,
                    ['first'])

    def start(self, build, path, folder):
        pair = self._pair(build, path, False, folder)
        begun = time.monotonic()
        if isinstance(self._peer, Fabric):
            pair.start_at_once()
        with pair:
            return milliseconds(begun, json.loads(pair.receiver.read()))

    def reconnect(self, build, path, folder, down):
        """`down`: seconds between the killing of one and the start of the other."""
        with self._pair(build, path, True, folder) as pair:
            pair.receiver.read()
            time.sleep(0.3)
            pair.receiver.kill()
            time.sleep(down)
            begun = time.monotonic()
            pair.start_receiver()
            pair.receiver.read()  # "playing"
            try:
                return milliseconds(begun, json.loads(pair.receiver.read(5)))
            except Failed:
                if pair.sender.ended():
                    return {'sender-ended': True}
                raise


def peers(options):
    fabrics = map(Fabric, providers_of(options))
    return [Starting(peer) for peer in present([*fabrics, Shm(), TcpElements()])]


def cells(found):
    if any('sender-ended' in figure for figure in found):
        return ['the sender ends', '', '']
    return [f'{median(found, "from-start-ms"):.0f}', f'{median(found, "from-playing-ms"):.1f}',
            f'{max(figure["from-start-ms"] for figure in found):.0f}']


HEAD = ['', 'from start, ms', 'from PLAYING, ms', 'longest from start, ms']


def start(options):
    with path_of('loopback', options) as path, tempfile.TemporaryDirectory() as folder:
        OnePipeline.start(options.build)  # the registry of plugins is there from now on
        figures = take_turns({peer.name: functools.partial(peer.start, options.build, path, folder)
                              for peer in [OnePipeline, *peers(options)]}, options.rounds)
    say(f'\nTo the first buffer, medians of {options.rounds}; PLAYING is the receiver\'s')
    table(HEAD, [[name, *cells(found)] for name, found in figures.items()])
    return [{'peer': name, 'figures': found} for name, found in figures.items()]


def reconnect(options):
    results, rows = [], []
    for down in options.down or [0, 3]:
        with path_of('loopback', options) as path, tempfile.TemporaryDirectory() as folder:
            figures = take_turns({peer.name: functools.partial(peer.reconnect, options.build, path,
                                                               folder, down)
                                  for peer in peers(options)}, options.rounds)
        rows += [[f'{name}, {down:g} s later', *cells(found)] for name, found in figures.items()]
        results += [{'peer': name, 'down-seconds': down, 'figures': found}
                    for name, found in figures.items()]
    say(f'\nFrom the start of another receiver to its first buffer, medians of {options.rounds}; '
        'so long after the first one was killed')
    table(HEAD, rows)
    return results


def main():
    made = parser(__doc__)
    made.add_argument('what', choices=['start', 'reconnect'])
    made.add_argument('--down', type=float, action='append',
                      help='seconds between kill and start (0 and 3); may be given several times')
    options = made.parse_args()
    run(f'starting {options.what}', options, {'start': start, 'reconnect': reconnect}[options.what])


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many local streams at once, 1080p v210 at 60 a second, beside shmsink and shmsrc.

    streams.py BUILD

All streams in one process a side, and each in two processes of its own. The source touches only
the ends of its buffers. Late: came more than a frame (16.7 ms) after it was due. Lost: numbers left
out, and grains that had not come by the end. Medians over --rounds, late and lost of all rounds
together. --json FILE has every single figure.
"""
import contextlib
import dataclasses
import functools
import statistics
import tempfile

from elements import Fabric, Pair, Shm, count, picture, present
from paths import Loopback
from pipelines import cpu_of, latency
from report import median, parser, run, say, table, take_turns

MEDIA = dataclasses.replace(picture('1080p'), fill=0)  # nobody reads more than the ends
EDGES = 2  # grains that may be on their way where the counting begins and ends


class Kind:
    def __init__(self, peer, apart):
        self.name = f'{peer.name}, {"a process for each" if apart else "one process a side"}'
        self._peer, self._apart = peer, apart

    def measure(self, build, path, streams, seconds):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            lines = [self._peer.lines(MEDIA, True, path, folder) for _ in range(streams)]
            groups = [[line] for line in lines] if self._apart else [lines]
            pairs = [stack.enter_context(Pair(build, self._peer, group, path,
                                              ['receive', str(seconds)])) for group in groups]
            return together(count(pairs, 1 + streams / 16, seconds), streams, seconds)


def together(parts, streams, seconds):
    """One figure of what several processes counted."""
    due = streams * (int(seconds * MEDIA.rate) - EDGES)
    grains = sum(part['grains'] for part in parts)
    figure = {name: sum(part[name] for part in parts)
              for name in ('late', 'torn', 'sender-cpu', 'receiver-cpu')}
    figure |= {'grains': grains, 'window': statistics.median(part['window'] for part in parts),
               'lost': max(sum(part['missing'] for part in parts), due - grains, 0),
               # Of several processes: of the worst, never better than of all together.
               'latency-us': {share: max(part['latency-us'][share] for part in parts)
                              for share in ('p50', 'p99', 'max')}}
    return figure


def streams(options):
    seconds = options.seconds or 4
    kinds = [Kind(peer, apart) for peer, apart in
             ((peer, apart) for peer in present([Fabric('local'), Shm()])
              for apart in (False, True))]
    results, rows, alone = [], [], {}
    for number in options.streams or [1, 4, 8, 16, 32]:
        figures = take_turns({kind.name: functools.partial(kind.measure, options.build, Loopback(),
                                                           number, seconds) for kind in kinds},
                             options.rounds)
        for kind, found in figures.items():
            each = median(found, cpu_of) / number
            if number >= 4:
                alone.setdefault(kind, each)
            rows.append([f'{number} {kind}', *(
                str(sum(figure[name] for figure in found)) for name in ('late', 'lost', 'torn')),
                f'{median(found, cpu_of):.1f}', f'{each:.2f}',
                f'{each / alone[kind]:.2f}' if kind in alone else '',
                *(f'{median(found, latency(share)):,.0f}' for share in ('p50', 'p99')),
                f'{max(map(latency("max"), found)):,.0f}'])
            results.append({'streams': number, 'peer': kind, 'figures': found})
    say(f'\nStreams at once, medians of {options.rounds} of {seconds} s; late, lost, torn and max: '
        'of all')
    table(['', 'late', 'lost', 'torn', 'CPU %', 'each', 'of each at 4', 'p50 µs', 'p99 µs',
           'max µs'], rows)
    return results


def main():
    made = parser(__doc__)
    made.add_argument('--streams', type=int, action='append',
                      help='only so many at once; may be given several times')
    run('streams', made.parse_args(), streams)


main()

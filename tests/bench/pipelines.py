#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares pipelines with GStreamer's shmsink and shmsrc on one host, side by side in one run.

    pipelines.py BUILD rate   grains a second and latency as fast as it goes, sync=false
    pipelines.py BUILD live   latency and CPU at 60 grains a second, sync=true

The source touches only the ends of the buffers that it is offered (endssrc), so that the way of a
picture is measured and not its making. Tables are of medians over --rounds; within a round the peers
take turns. --json FILE has every single figure.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile

from peers import use_modules_of

SIZES = {'1080p': (1920, 1080, 5_529_600), '2160p': (3840, 2160, 22_118_400),
         '4320p': (7680, 4320, 88_473_600)}


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', help='build directory, with -Dbenchmarks=enabled')
    parser.add_argument('what', choices=['rate', 'live'])
    parser.add_argument('--seconds', type=float, default=2, help='of each run')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--size', action='append', choices=list(SIZES),
                        help='only this one; may be given several times')
    parser.add_argument('--provider', default='local', help='of fabricsink and fabricsrc')
    parser.add_argument('--json', metavar='FILE', help='write all figures there')
    return parser.parse_args()


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def caps(size):
    width, height, _ = SIZES[size]
    return f'video/x-raw,format=v210,width={width},height={height},framerate=60/1'


class Fabric:
    """`own`: the source ignores the pool that fabricsink offers."""

    def __init__(self, provider, own=False):
        self.name = provider + (', own memory' if own else '')
        self._provider, self._source = provider, 'own-memory=true' if own else ''

    def lines(self, size, live, _):
        port = free_port()
        source = f'endssrc size={SIZES[size][2]} rate={60 if live else 0} {self._source}'
        return (f'{source} ! {caps(size)} ! fabricsink host=127.0.0.1 port={port} '
                f'provider={self._provider} sync={str(live).lower()}',
                f'fabricsrc address=127.0.0.1 port={port} provider={self._provider} ! '
                'fakesink name=sink sync=false')


class Shm:
    """GStreamer's, with room for as many pictures as fabricsink has slots."""

    def __init__(self, own=False):
        self.name = 'shmsink' + (', own memory' if own else '')
        self._source = 'own-memory=true' if own else ''

    def lines(self, size, live, folder):
        path = f'{folder}/socket-{free_port()}'
        source = f'endssrc size={SIZES[size][2]} rate={60 if live else 0} {self._source}'
        return (f'{source} ! {caps(size)} ! shmsink socket-path={path} '
                f'shm-size={10 * SIZES[size][2]} sync={str(live).lower()}',
                f'shmsrc socket-path={path} is-live=true ! {caps(size)} ! '
                'fakesink name=sink sync=false')


def measure(build, peer, size, live, seconds, folder):
    send, receive = peer.lines(size, live, folder)
    program = f'{build}/tests/bench/pipeline_bench'
    sender = subprocess.Popen([program, 'send', send])
    try:
        if 'socket-path=' in send:
            wait_for(send.split('socket-path=')[1].split()[0], sender)
        result = subprocess.run([program, 'receive', str(sender.pid), str(seconds), receive],
                                stdout=subprocess.PIPE, text=True, timeout=seconds + 60, check=True)
    finally:
        sender.kill()
        sender.wait()
    found = json.loads(result.stdout)
    if found['torn'] or found['missing']:
        sys.exit(f'{peer.name}: {found["torn"]} grains torn, {found["missing"]} missing')
    return found


def has_shm():
    if subprocess.run(['gst-inspect-1.0', '--exists', 'shmsink'], check=False).returncode == 0:
        return True
    print('shmsink is not on this host (package gstreamer1.0-plugins-bad)')
    return False


def wait_for(path, process):
    """shmsrc gives up where nobody listens yet."""
    while not os.path.exists(path):
        if process.poll() is not None:
            sys.exit('shmsink ended early')


def main():
    options = parse()
    use_modules_of(options.build)
    os.environ['GST_PLUGIN_PATH'] = f'{options.build}/gst'
    live = options.what == 'live'
    peers = [Shm(), Fabric(options.provider)]
    if not live:
        peers += [Shm(own=True), Fabric(options.provider, own=True)]
    if not has_shm():
        peers = [peer for peer in peers if not isinstance(peer, Shm)]
    everything = []
    print(f'{"":8}{"":20}{"grains/s":>10}{"p50 us":>9}{"p99 us":>9}{"p99.9":>9}{"CPU %":>8}')
    with tempfile.TemporaryDirectory() as folder:
        for size in options.size or (['1080p'] if live else list(SIZES)):
            figures = {peer: [] for peer in peers}
            for _ in range(options.rounds):
                for peer in peers:
                    figures[peer].append(measure(options.build, peer, size, live,
                                                 options.seconds, folder))
            for peer, found in figures.items():
                def median(of, found=found):
                    return statistics.median(of(one) for one in found)
                cpu = median(lambda one: (one['sender-cpu'] + one['receiver-cpu'])
                             / one['seconds'] * 100)
                print(f'{size:8}{peer.name:20}{median(lambda one: one["grains-per-second"]):10.0f}'
                      f'{median(lambda one: one["latency-us"]["p50"]):9.1f}'
                      f'{median(lambda one: one["latency-us"]["p99"]):9.1f}'
                      f'{median(lambda one: one["latency-us"]["p99.9"]):9.1f}{cpu:8.1f}', flush=True)
                everything.append({'size': size, 'peer': peer.name, 'figures': found})
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'benchmark': options.what, 'results': everything}, file, indent=1)


main()

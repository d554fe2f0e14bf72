#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine's writes over every transport of this host, by size of a grain, beside memcpy, a plain
TCP stream and a raw libfabric loop.

    engine.py BUILD

`grainfabric bench` with 1 and 8 grains in flight; the others as tests/bench/*.cpp say. All copy:
local, too, since there is no slot to lend in this benchmark. Medians over --rounds; within a round
the peers take turns. --json FILE has every single figure.
"""
import json
import subprocess

from paths import path_of
from peers import GRAIN, Engine, Flow, LibfabricLoop, TcpStream
from report import congestion, median, parser, run, say, table, take_turns

KIB = 1024
SIZES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB, GRAIN, 32 * 1024 * KIB]
PROVIDERS = ['local', 'udp', 'tcp', 'tcp;ofi_rxm', 'shm', 'verbs', 'ofi:verbs', 'efa']


def memory_copy(build, size, seconds):
    return lambda: json.loads(subprocess.run(
        [f'{build}/tests/bench/memory_copy', str(size), str(seconds)], check=True,
        stdout=subprocess.PIPE, timeout=seconds + 30).stdout)


def flow(peer, path, seconds):
    return lambda: Flow(peer, path, seconds).wait()


def providers_of(build):
    """Those that have a device on this host."""
    found = json.loads(subprocess.run([f'{build}/src/tool/grainfabric', 'info', '--json'],
                                      check=True, stdout=subprocess.PIPE, timeout=60).stdout)
    there = {provider['name'] for transport in found['transports']
             for provider in transport['providers'] if provider['devices']}
    return [name for name in PROVIDERS if name in there]


def peers_at(options, size, providers, path):
    build, seconds = options.build, options.seconds or 0.5
    loop = LibfabricLoop(build, size)
    flows = {'TCP stream': TcpStream(build, grain=size)}
    if loop.is_there():
        flows['libfabric loop, 8'] = loop
    flows |= {f'{name}, {depth}': Engine(build, name, grain=size, depth=depth)
              for name in providers for depth in (1, 8)}
    return {'memcpy': memory_copy(build, size, seconds),
            **{name: flow(peer, path, seconds) for name, peer in flows.items()}}


def engine(options):
    providers = options.provider or providers_of(options.build)
    with path_of('loopback', options) as path:
        figures = {size: take_turns(peers_at(options, size, providers, path), options.rounds)
                   for size in options.size or SIZES}
    head = ['in flight', *(f'{size:,}' for size in figures)]
    names = list(next(iter(figures.values())))
    say(f'\nGB/s by bytes of a grain, medians of {options.rounds}; TCP with {congestion(options)}')
    table(head, [[name, *(f'{median(found[name], "gigabytes-per-second"):.2f}'
                          for found in figures.values())] for name in names])
    say('CPU s/GB, both sides')
    table(head, [[name, *(f'{median(found[name], cost_of):.3f}' for found in figures.values())]
                 for name in names])
    return [{'size': size, 'peer': name, 'figures': found}
            for size, of_size in figures.items() for name, found in of_size.items()]


def cost_of(figure):
    return sum(figure['cpu-seconds-per-gigabyte'].values())


def main():
    made = parser(__doc__)
    made.add_argument('--provider', action='append', help='only this one; several times')
    made.add_argument('--size', type=int, action='append',
                      help='only grains of so many bytes; may be given several times')
    run('engine', made.parse_args(), engine)


main()

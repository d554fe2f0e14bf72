#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares transports with a plain TCP stream and with each other, side by side in one run.

    transports.py BUILD speed     GB/s and CPU over loopback and, as root, over veth (MTU 1500, 9000)
    transports.py BUILD fairness  shares of a slow path that two flows have at the same time (root)
    transports.py BUILD loss      GB/s of a path that loses packets (root, package nftables)

Every table is of medians over --rounds; within a round the peers take turns, so that what else the
machine does hits all of them. --json FILE has every single figure.
"""
import os
import statistics
import sys

from paths import Veth, path_of
from peers import Datagrams, Engine, Flow, LibfabricLoop, TcpStream
from report import congestion, median, parser, run, say

KIB = 1024
GRAIN_CALL = 5_529_600


def parse():
    made = parser(__doc__)
    made.add_argument('what', choices=['speed', 'fairness', 'loss'])
    made.add_argument('--path', action='append', choices=['loopback', '1500', '9000'],
                      help='only this one (speed); may be given several times')
    made.add_argument('--provider', action='append', help='instead of udp and tcp (speed)')
    return made.parse_args()


def measure(peer, path, seconds):
    result = Flow(peer, path, seconds).wait()
    cpu = result['cpu-seconds-per-gigabyte']
    return {'gigabytes-per-second': result['gigabytes-per-second'],
            'cpu-seconds-per-gigabyte': cpu['client'] + cpu['server']}


# speed

def speed(options):
    """Each family at the best of its settings: call sizes of TCP, piece sizes of the engine. Raw
    datagrams are what udp would make without its protocol."""
    families = {'tcp stream': [TcpStream(options.build, call) for call in
                               (256 * KIB, 512 * KIB, 1024 * KIB, GRAIN_CALL)]}
    # tcp is libfabric's, and where that is, the raw loop was built.
    present = ['tcp', 'udp'] if LibfabricLoop(options.build).is_there() else ['udp']
    for provider in options.provider or present:
        families[provider] = [Engine(options.build, provider, piece) for piece in
                              (512 * KIB, 1024 * KIB)]
    families['raw datagrams'] = [Datagrams(options.build)]
    chosen = options.path or (['loopback'] + (['1500', '9000'] if os.geteuid() == 0 else []))
    found = []
    for name in chosen:
        with path_of(name, options) as path:
            found.append({'path': path.name,
                          'peers': speed_on(path, families, options.seconds or 2, options.rounds)})
    return found


def speed_on(path, families, seconds, rounds):
    peers = [peer for settings in families.values() for peer in settings]
    figures = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            figures[peer].append(measure(peer, path, seconds))
    say(f'\n{path.name}: medians of {rounds}, {seconds} s each')
    say(f'{"":14}{"setting":>10}{"GB/s":>8}{"of TCP":>8}{"CPU s/GB":>10}{"of TCP":>8}')
    best = {family: max(settings, key=lambda peer: median(figures[peer], 'gigabytes-per-second'))
            for family, settings in families.items()}
    base = figures[best['tcp stream']]
    for family, peer in best.items():
        row = f'{family:14}{peer.setting:>10}'
        for key, width in ('gigabytes-per-second', 8), ('cpu-seconds-per-gigabyte', 10):
            value = median(figures[peer], key)
            row += f'{value:{width}.2f}{value / median(base, key):8.2f}'
        say(row)
    return [{'name': peer.name, 'setting': peer.setting, 'best': peer in best.values(),
             'figures': figures[peer]} for peer in peers]


# fairness

def fairness(options):
    """Two flows at once through 1 Gbit/s: what each gets."""
    seconds = options.seconds or 20
    kinds = {'tcp': lambda: TcpStream(options.build, 256 * KIB),
             'udp': lambda: Engine(options.build, 'udp', 512 * KIB)}
    found = []
    say(f'1 Gbit/s, MTU 1500, two flows at once for {seconds} s, medians of {options.rounds}')
    say(f'{"buffer":>8}  {"flows":12}{"first":>8}{"second":>8}  GB/s{"Jain":>8}')
    for buffer in 0.004, 0.02, 0.1:
        for pair in ('tcp', 'tcp'), ('udp', 'udp'), ('tcp', 'udp'):
            shares = []
            for _ in range(options.rounds):
                with Veth(1500, rate=1e9, buffer=buffer,
                          congestion=options.congestion) as path:
                    flows = [Flow(kinds[kind](), path, seconds) for kind in pair]
                    shares.append([flow.wait()['gigabytes-per-second'] for flow in flows])
            first, second = (statistics.median(column) for column in zip(*shares))
            jain = (first + second) ** 2 / (2 * (first ** 2 + second ** 2))
            say(f'{buffer * 1e3:5.0f} ms  {"+".join(pair):12}{first:8.3f}{second:8.3f}      {jain:8.2f}')
            found.append({'buffer-seconds': buffer, 'flows': pair, 'figures': shares})
    return found


# loss

def loss(options):
    """What is left of a path of 2 Gbit/s where packets are dropped at random."""
    seconds = options.seconds or 3
    peers = [TcpStream(options.build, 256 * KIB), Engine(options.build, 'udp', 512 * KIB)]
    found = []
    say(f'2 Gbit/s, MTU 1500, {seconds} s each, medians of {options.rounds}, GB/s')
    say(f'{"loss":>8}' + ''.join(f'{peer.name:>12}' for peer in peers))
    for share in 0, 0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1:
        row = []
        for peer in peers:
            with Veth(1500, rate=2e9, buffer=0.002, loss=share,
                      congestion=options.congestion) as path:
                row.append([Flow(peer, path, seconds).wait()['gigabytes-per-second']
                            for _ in range(options.rounds)])
        say(f'{share:8.2%}' + ''.join(f'{statistics.median(column):12.4f}' for column in row))
        found.append({'loss': share, 'figures': {peer.name: column
                                                 for peer, column in zip(peers, row)}})
    return found


def main():
    options = parse()
    if options.what != 'speed' and os.geteuid() != 0:
        sys.exit(f'{options.what} needs root, for network namespaces')
    say(f"congestion control of TCP and of libfabric's tcp: {congestion(options)}")
    run(f'transports {options.what}', options,
        {'speed': speed, 'fairness': fairness, 'loss': loss}[options.what])


main()

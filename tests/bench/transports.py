#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares transports with a plain TCP stream and with each other, side by side in one run.

    transports.py BUILD speed     GB/s and CPU over loopback and, as root, over veth (MTU 1500, 9000)
    transports.py BUILD fairness  shares of a slow path that two flows have at the same time (root)
    transports.py BUILD loss      GB/s of a path that loses packets (root, package nftables)

Every table is of medians over --rounds; within a round the peers take turns, so that what else the
machine does hits all of them. --json FILE has every single figure.
"""
import argparse
import json
import os
import signal
import statistics
import sys

from paths import Loopback, Veth
from peers import Engine, Failed, Flow, TcpStream, use_modules_of

KIB = 1024
GRAIN_CALL = 5_529_600


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', help='build directory, with -Dbenchmarks=enabled')
    parser.add_argument('what', choices=['speed', 'fairness', 'loss'])
    parser.add_argument('--seconds', type=float, help='of each flow')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--path', action='append', choices=['loopback', '1500', '9000'],
                        help='only this one (speed); may be given several times')
    parser.add_argument('--provider', action='append', help='instead of udp and tcp (speed)')
    parser.add_argument('--congestion', metavar='NAME',
                        help="congestion control of the plain TCP stream (the host's)")
    parser.add_argument('--json', metavar='FILE', help='write all figures there')
    return parser.parse_args()


def say(text=''):
    print(text, flush=True)


def measure(peer, path, seconds):
    result = Flow(peer, path, seconds).wait()
    cpu = result['cpu-seconds-per-gigabyte']
    return {'gigabytes-per-second': result['gigabytes-per-second'],
            'cpu-seconds-per-gigabyte': cpu['client'] + cpu['server']}


def median(figures, key):
    return statistics.median(figure[key] for figure in figures)


# speed

def speed(options):
    """Each family at the best of its settings: call sizes of TCP, piece sizes of the engine."""
    families = {'tcp stream': [TcpStream(options.build, call) for call in
                               (256 * KIB, 512 * KIB, 1024 * KIB, GRAIN_CALL)]}
    for provider in options.provider or ['tcp', 'udp']:
        families[provider] = [Engine(options.build, provider, piece) for piece in
                              (512 * KIB, 1024 * KIB)]
    chosen = options.path or (['loopback'] + (['1500', '9000'] if os.geteuid() == 0 else []))
    found = []
    for name in chosen:
        with Loopback() if name == 'loopback' else Veth(int(name)) as path:
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
    say(f'{"":12}{"setting":>10}{"GB/s":>8}{"of TCP":>8}{"CPU s/GB":>10}{"of TCP":>8}')
    best = {family: max(settings, key=lambda peer: median(figures[peer], 'gigabytes-per-second'))
            for family, settings in families.items()}
    base = figures[best['tcp stream']]
    for family, peer in best.items():
        row = f'{family:12}{peer.setting:10}'
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
                with Veth(1500, rate=1e9, buffer=buffer) as path:
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
            with Veth(1500, rate=2e9, buffer=0.002, loss=share) as path:
                row.append([Flow(peer, path, seconds).wait()['gigabytes-per-second']
                            for _ in range(options.rounds)])
        say(f'{share:8.2%}' + ''.join(f'{statistics.median(column):12.4f}' for column in row))
        found.append({'loss': share, 'figures': {peer.name: column
                                                 for peer, column in zip(peers, row)}})
    return found


def main():
    options = parse()
    use_modules_of(options.build)
    if options.congestion:
        os.environ['TCP_STREAM_CONGESTION'] = options.congestion
    with open('/proc/sys/net/ipv4/tcp_congestion_control', encoding='ascii') as file:
        host = file.read().strip()
    say(f'congestion control: {options.congestion or host} of the TCP stream, '
        f"{host} of libfabric's tcp")
    if options.what != 'speed' and os.geteuid() != 0:
        sys.exit(f'{options.what} needs root, for network namespaces')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # namespaces go on the way out
    try:
        found = {'speed': speed, 'fairness': fairness, 'loss': loss}[options.what](options)
    except Failed as failure:
        sys.exit(str(failure))
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'benchmark': options.what, 'results': found}, file, indent=1)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pipeline to pipeline, beside GStreamer's own elements and what is under them, in one run.

    pipelines.py BUILD rate     one host, as fast as it goes: local beside shmsink and shmsrc
    pipelines.py BUILD network  tcp and udp, as fast as it goes: beside a plain TCP stream, a raw
                                libfabric loop, raw datagrams, tcpclientsink and tcpserversrc, and
                                our own engine
    pipelines.py BUILD live     latency and CPU at 60 pictures a second
    pipelines.py BUILD audio    blocks of 1 ms: as fast as it goes, and at 1000 a second
    pipelines.py BUILD idle     CPU of a receiver that nobody sends to

The source touches only the ends of the buffers that it is offered (endssrc), so that the way of a
picture is measured and not its making. Tables are of medians over --rounds; within a round the
peers take turns. --json FILE has every single figure.
"""
import functools
import json
import tempfile

from elements import AUDIO, Fabric, Process, Shm, TcpElements, free_port, measure, picture, present
from paths import Loopback, path_of
from peers import Datagrams, Engine, Flow, LibfabricLoop, TcpStream
from report import congestion, median, parser, run, say, table, take_turns

SIZES = ['1080p', '2160p', '4320p']
SECONDS = {'rate': 2, 'network': 1.5, 'live': 10, 'audio': 2, 'idle': 5}


def parse():
    made = parser(__doc__)
    made.add_argument('what', choices=list(SECONDS))
    made.add_argument('--size', action='append', choices=SIZES,
                      help='only this one (rate, network); may be given several times')
    made.add_argument('--path', action='append', choices=['loopback', '1500', '9000'],
                      help='of network: loopback, or veth of this MTU (root); several times')
    options = made.parse_args()
    options.seconds = options.seconds or SECONDS[options.what]
    return options


def cpu_of(figure):
    """Per cent of a core, both sides."""
    return (figure['sender-cpu'] + figure['receiver-cpu']) / figure['window'] * 100


def cost_of(figure):
    """CPU seconds a gigabyte, both sides."""
    return sum(figure['cpu-seconds-per-gigabyte'].values())


def latency(share):
    return lambda figure: figure['latency-us'][share]


def result(media, figures):
    return [{'media': media.name, 'peer': name, 'figures': found}
            for name, found in figures.items()]


def flow(peer, path, options):
    """What measures a peer that is not made of elements."""
    return lambda: Flow(peer, path, options.seconds).wait()


def streaming(peer, media, live, options, folder, path=Loopback()):
    return lambda: measure(options.build, peer, media, live, options.seconds, folder, path)


def providers_of(options):
    """Those that need no device; tcp is libfabric's, and where that is, the raw loop was built."""
    return ['local', *(['tcp'] if LibfabricLoop(options.build).is_there() else []), 'udp']


# rate

def rate(options):
    peers = present([Shm(), Fabric('local'), Shm(own=True), Fabric('local', own=True)])
    results, rows = [], []
    for media in map(picture, options.size or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            figures = take_turns({peer.name: streaming(peer, media, False, options, folder)
                                  for peer in peers}, options.rounds)
        for name, found in figures.items():
            rows.append([f'{media.name} {name}', f'{median(found, "grains-per-second"):,.0f}',
                         *(f'{median(found, latency(share)):,.1f}'
                           for share in ('p50', 'p99', 'p99.9', 'max')),
                         f'{median(found, cost_of):.4f}'])
        results += result(media, figures)
    say(f'\nOn one host, as fast as it goes, medians of {options.rounds} of {options.seconds} s')
    table(['', 'grains/s', 'p50 µs', 'p99 µs', 'p99.9 µs', 'max µs', 'CPU s/GB'], rows)
    return results


# network

def network(options):
    results = []
    for name in options.path or ['loopback']:
        with path_of(name, options) as path, tempfile.TemporaryDirectory() as folder:
            own = {}
            for media in map(picture, options.size or SIZES):
                figures = network_of(options, media, path, folder)
                own[media.name] = {peer: median(found, 'gigabytes-per-second')
                                   for peer, found in figures.items()}
                results += [{'path': path.name, **one} for one in result(media, figures)]
            compare_own(own)
    return results


def network_of(options, media, path, folder):
    build, providers = options.build, providers_of(options)[1:]
    peers = {'TCP stream': TcpStream(build, grain=media.size)}
    if 'tcp' in providers:
        peers['libfabric loop'] = LibfabricLoop(build, media.size)
    peers['raw datagrams'] = Datagrams(build, media.size)
    peers |= {f'engine, {name}': Engine(build, name, grain=media.size) for name in providers}
    measures = {name: flow(peer, path, options) for name, peer in peers.items()}
    for peer in present([TcpElements(), *map(Fabric, providers)]):
        name = f'pipelines, {peer.name}' if isinstance(peer, Fabric) else peer.name
        measures[name] = streaming(peer, media, False, options, folder, path)
    figures = take_turns(measures, options.rounds)
    say(f'\n{media.name}, {path.name}, medians of {options.rounds} of {options.seconds} s; '
        f'TCP with {congestion(options)}')
    table(['', 'GB/s', 'of TCP stream', 'of libfabric loop', 'of raw datagrams',
           'of tcpclientsink', 'sender s/GB', 'receiver s/GB', 'CPU of TCP stream',
           'of tcpclientsink'], [network_row(name, figures) for name in figures])
    return figures


def network_row(name, figures):
    def ratio(key, to):
        if to not in figures:
            return ''
        return f'{median(figures[name], key) / median(figures[to], key):.2f}'

    def side(which):
        return median(figures[name], lambda one: one['cpu-seconds-per-gigabyte'][which])

    speed = 'gigabytes-per-second'
    return [name, f'{median(figures[name], speed):.2f}', ratio(speed, 'TCP stream'),
            ratio(speed, 'libfabric loop'), ratio(speed, 'raw datagrams'),
            ratio(speed, 'tcpclientsink'), f'{side("client"):.3f}', f'{side("server"):.3f}',
            ratio(cost_of, 'TCP stream'), ratio(cost_of, 'tcpclientsink')]


def compare_own(own):
    """Pipelines beside the engine alone, and other sizes beside the first."""
    sizes = list(own)
    for name in ('tcp', 'udp'):
        if f'pipelines, {name}' not in own[sizes[0]]:
            continue
        for size in sizes:
            here = own[size][f'pipelines, {name}']
            say(f'{name} {size}: {here / own[size][f"engine, {name}"]:.2f} of the engine alone, '
                f'{here / own[sizes[0]][f"pipelines, {name}"]:.2f} of {sizes[0]}')


# live

PACED = ['p50 µs', 'p99 µs', 'p99.9 µs', 'max µs', 'sender CPU %', 'receiver CPU %', 'CPU %']


def paced_cells(found):
    return [*(f'{median(found, latency(share)):,.0f}' for share in ('p50', 'p99', 'p99.9')),
            f'{max(map(latency("max"), found)):,.0f}',
            *(f'{median(found, lambda one, side=side: one[side] / one["window"] * 100):.1f}'
              for side in ('sender-cpu', 'receiver-cpu')), f'{median(found, cpu_of):.1f}']


def live(options):
    media, providers = picture('1080p'), providers_of(options)
    with path_of('loopback', options) as path, tempfile.TemporaryDirectory() as folder:
        measures = {peer.name: streaming(peer, media, True, options, folder, path)
                    for peer in present([Shm(), TcpElements(), *map(Fabric, providers)])}
        if 'tcp' in providers:
            loop = LibfabricLoop(options.build, media.size, rate=media.rate)
            measures['libfabric loop'] = flow(loop, path, options)
        figures = take_turns(measures, options.rounds)
    say(f'\n1080p at 60 a second, from the time a picture is due; medians of {options.rounds} of '
        f'{options.seconds} s, max: of all; TCP with {congestion(options)}')
    table(['', *PACED], [[name, *paced_cells(found)] for name, found in figures.items()])
    return result(media, figures)


# audio

def audio(options):
    peers = present([Shm(), TcpElements(), *map(Fabric, providers_of(options))])
    with path_of('loopback', options) as path, tempfile.TemporaryDirectory() as folder:
        fast, paced = (take_turns({peer.name: streaming(peer, AUDIO, paced, options, folder, path)
                                   for peer in peers}, options.rounds) for paced in (False, True))
    say(f'\nBlocks of {AUDIO.size} bytes (1 ms, 8 channels, S24LE): how many a second as fast as '
        f'it goes; at 1000 a second latency and CPU; medians of {options.rounds} of '
        f'{options.seconds} s, max: of all; TCP with {congestion(options)}')
    table(['', 'grains/s', *PACED], [
        [name, f'{median(fast[name], "grains-per-second"):,.0f}', *paced_cells(paced[name])]
        for name in fast])
    return [{'pace': pace, **one} for pace, figures in (('fast', fast), ('1000 a second', paced))
            for one in result(AUDIO, figures)]


# idle

def idle(options):
    fabric = 'fabricsrc address=127.0.0.1 port={} provider={} ! fakesink'
    lines = {f'fabricsrc, {name}': fabric.format('{}', name)
             for name in ('auto', *providers_of(options))}
    lines['tcpserversrc'] = 'tcpserversrc host=127.0.0.1 port={} ! fakesink'

    def measure_idle(line):
        with Process(options.build, (), 'idle', str(options.seconds),
                     line.format(free_port())) as process:
            return json.loads(process.read(options.seconds + 30))

    figures = take_turns({name: functools.partial(measure_idle, line)
                          for name, line in lines.items()}, options.rounds)
    say(f'\nA receiver that nobody sends to, medians of {options.rounds} of {options.seconds} s')
    table(['', 'CPU %'], [[name, f'{median(found, lambda one: one["cpu"] / one["seconds"]):.3%}']
                          for name, found in figures.items()])
    return [{'peer': name, 'figures': found} for name, found in figures.items()]


def main():
    options = parse()
    parts = {'rate': rate, 'network': network, 'live': live, 'audio': audio, 'idle': idle}
    run(f'pipelines {options.what}', options, parts[options.what])


if __name__ == '__main__':
    main()

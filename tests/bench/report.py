# SPDX-License-Identifier: Apache-2.0
"""What all benchmarks share: options, taking turns, tables in Markdown, figures as JSON."""
import argparse
import datetime
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys

from peers import Failed, use_modules_of


def parser(text):
    """Options that every benchmark has; `seconds` and `rounds` are set where they are not given."""
    made = argparse.ArgumentParser(description=text,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('build', help='build directory, with -Dbenchmarks=enabled')
    made.add_argument('--seconds', type=float, help='of each run')
    made.add_argument('--rounds', type=int, default=5)
    made.add_argument('--congestion', metavar='NAME',
                      help="congestion control of TCP, where not the host's (root)")
    made.add_argument('--json', metavar='FILE', help='write all figures there')
    return made


def run(name, options, measure):
    """Calls measure(options), which returns the results, and keeps them."""
    use_modules_of(options.build)
    os.environ['GST_PLUGIN_PATH'] = f'{options.build}/gst'
    if options.congestion and os.geteuid() != 0:
        sys.exit('--congestion needs root, for network namespaces')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what runs is ended on the way out
    try:
        results = measure(options)
        check_complete(results, name)
    except Failed as failure:
        sys.exit(str(failure))
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'benchmark': name, 'machine': machine(), 'results': results}, file, indent=1)


def say(text=''):
    print(text, flush=True)


def take_turns(peers, rounds):
    """`peers`: what measures each, by name. Their figures, one a round; what else the machine does
    hits all of them."""
    figures = {name: [] for name in peers}
    for _ in range(rounds):
        for name, measure in peers.items():
            figures[name].append(measure())
    return figures


def median(figures, key):
    """`key`: a name, or what gives the value of a figure."""
    return statistics.median(key(one) if callable(key) else one[key] for one in figures)


def table(head, rows):
    """Markdown; numbers to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for number, row in enumerate([head, *rows]):
        cells = [cell.ljust(width) if i < 1 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        say(f'| {" | ".join(cells)} |')
        if number == 0:
            say(f'|{"|".join("-" * (width + 2) for width in widths)}|')
    say()


def check_complete(found, where):
    """A benchmark that leaves something out has failed."""
    if isinstance(found, (dict, list)):
        inner = list(found.items() if isinstance(found, dict) else enumerate(found))
        if not inner:
            raise Failed(f'{where}: no figures')
        for name, value in inner:
            check_complete(value, f'{where}/{name}')
    elif found is None or isinstance(found, float) and not math.isfinite(found):
        raise Failed(f'{where}: a figure is missing')


def congestion(options=None):
    """Of all TCP of the benchmark; without options, the host's."""
    if options and options.congestion:
        return options.congestion
    with open('/proc/sys/net/ipv4/tcp_congestion_control', encoding='ascii') as file:
        return file.read().strip()


def processor():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                return line.split(':')[1].strip()
    return platform.machine()


def machine():
    gstreamer = subprocess.run(['gst-inspect-1.0', '--version'], stdout=subprocess.PIPE, text=True,
                               check=False).stdout.split('\n')
    return {'date': datetime.datetime.now().isoformat(' ', 'minutes'), 'processor': processor(),
            'cores': os.cpu_count(), 'kernel': platform.release(),
            'gstreamer': next((line for line in gstreamer if line.startswith('GStreamer')), ''),
            'tcp-congestion-control': congestion(), 'load-average': os.getloadavg()[0]}

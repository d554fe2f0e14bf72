#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the engine itself does for a grain: instructions and allocations, over a transport that moves
nothing.

    overhead.py BUILD

A paced stream, each grain by itself as at 60 a second. Instructions by callgrind, user space only,
GLib, libstdc++ and the C library included: of the difference between a long run and a short one, so
that starting does not count. Needs valgrind; without it only allocations are counted. --json FILE
has every single figure.
"""
import glob
import json
import os
import shutil
import statistics
import subprocess
import tempfile

from peers import Failed
from report import parser, run, say, table

# Threads as callgrind numbers them, which is in the order of their creation; see the program.
SIDES = {'initiator': (1, 2), 'target': (3, 5)}
SHORT, LONG = 100, 300
LIMIT = 120  # seconds


def program(build, grains, prefix=()):
    """What it printed."""
    environment = dict(os.environ, GRAINFABRIC_MODULE_PATH=f'{build}/tests/bench/null')
    found = subprocess.run([*prefix, f'{build}/tests/bench/engine_overhead', str(grains)],
                           env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           timeout=LIMIT, check=False)
    if found.returncode != 0:
        raise Failed(f'engine_overhead ended with {found.returncode}')
    return json.loads(found.stdout)


def instructions(build, grains):
    """Of each thread, by its number."""
    with tempfile.TemporaryDirectory() as folder:
        file = f'{folder}/callgrind'
        program(build, grains, ['valgrind', '--tool=callgrind', '--separate-threads=yes',
                                f'--callgrind-out-file={file}'])
        totals = {}
        for name in glob.glob(f'{file}-*'):
            with open(name, encoding='utf-8') as lines:
                total = [line for line in lines if line.startswith('totals:')]
            totals[int(name.rsplit('-', 1)[1])] = int(total[0].split()[1])
        return totals


def measure(options):
    found = {'allocations-per-grain': program(options.build, LONG)['allocations-per-grain']}
    rows = [['allocations, both sides', f'{found["allocations-per-grain"]:.2f}']]
    if shutil.which('valgrind'):
        rounds = []
        for _ in range(options.rounds):
            short, long = (instructions(options.build, grains) for grains in (SHORT, LONG))
            rounds.append({side: sum(long[one] - short[one] for one in threads) / (LONG - SHORT)
                           for side, threads in SIDES.items()})
        found['instructions-per-grain'] = rounds
        rows += [[f'instructions, {side}', f'{statistics.median(one[side] for one in rounds):.0f}']
                 for side in SIDES]
    else:
        say('valgrind is not on this host (package valgrind): no instructions')
    table(['per grain', ''], rows)
    if found['allocations-per-grain'] != 0:
        raise Failed('the engine allocates memory for each grain')
    return found


if __name__ == '__main__':
    run('overhead', parser(__doc__).parse_args(), measure)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all benchmarks, one after the other, on this machine.

    run.py BUILD [--json FILE] [--plots FOLDER] [--quick] [--part NAME]

Takes about an hour and ends after 100 minutes at the latest (a part that is not done in its time
is ended and counts as failed); --quick, which only shows that everything runs, 3 minutes and at
most 33. Nothing else should run meanwhile. The parts can be run by themselves: see their --help.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from plots import draw
from report import machine, say

HERE = os.path.dirname(os.path.abspath(__file__))
# Name, command, limit in minutes (twice what it takes on two cores, in all 100), and less of it.
PARTS = [
    ('engine', ['engine.py', '{build}'], 16, ['--size', '4096', '--size', '5529600']),
    ('transports speed', ['transports.py', '{build}', 'speed'], 12, ['--path', 'loopback']),
    ('pipelines rate', ['pipelines.py', '{build}', 'rate'], 8, ['--size', '1080p']),
    ('pipelines network', ['pipelines.py', '{build}', 'network'], 12, ['--size', '1080p']),
    ('pipelines live', ['pipelines.py', '{build}', 'live'], 12, []),
    ('pipelines audio', ['pipelines.py', '{build}', 'audio'], 6, []),
    ('pipelines idle', ['pipelines.py', '{build}', 'idle'], 6, []),
    ('streams', ['streams.py', '{build}'], 20, ['--streams', '1', '--streams', '4']),
    ('starting start', ['starting.py', '{build}', 'start'], 2, []),
    ('overhead', ['overhead.py', '{build}'], 4, []),
    ('starting reconnect', ['starting.py', '{build}', 'reconnect'], 6, ['--down', '0']),
]
QUICK = ['--seconds', '0.2', '--rounds', '1']
QUICK_LIMIT = 3


def run_part(name, command, minutes, words, options):
    """What it wrote, or None where it failed."""
    say(f'\n## {name}\n')
    with tempfile.TemporaryDirectory() as folder:
        file = f'{folder}/figures.json'
        begun = time.monotonic()
        part = subprocess.Popen([sys.executable, f'{HERE}/{command[0]}',
                                 *(word.format(build=options.build) for word in command[1:]),
                                 '--json', file, *words])
        try:
            code = part.wait(minutes * 60)
        except subprocess.TimeoutExpired:
            part.terminate()  # it ends what it started
            code = f'not done within {minutes} minutes'
        finally:
            part.wait()
        if code != 0:
            say(f'{name} failed: {code}')
            return None
        say(f'({name}: {time.monotonic() - begun:.0f} s)')
        with open(file, encoding='utf-8') as figures:
            return json.load(figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', help='build directory, with -Dbenchmarks=enabled')
    parser.add_argument('--json', metavar='FILE', help='write all figures there')
    parser.add_argument('--plots', metavar='FOLDER', help='draw them there (gnuplot)')
    parser.add_argument('--congestion', metavar='NAME',
                        help="congestion control of TCP, where not the host's (root)")
    parser.add_argument('--quick', action='store_true', help='0.2 s and one round, not all sizes')
    parser.add_argument('--part', action='append', choices=[part[0] for part in PARTS],
                        help='only this one; may be given several times')
    options = parser.parse_args()
    host = machine()
    say(', '.join(f'{name}: {value}' for name, value in host.items()))
    parts, failed = {}, []
    for name, command, minutes, less in PARTS:
        if options.part and name not in options.part:
            continue
        words = [*QUICK, *less] if options.quick else []
        if options.congestion:
            words += ['--congestion', options.congestion]
        found = run_part(name, command, QUICK_LIMIT if options.quick else minutes, words, options)
        if found:
            parts[name] = found
        else:
            failed.append(name)
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'machine': host, 'quick': options.quick, 'parts': parts}, file, indent=1)
    if options.plots:
        draw(parts, options.plots)
    if failed:
        sys.exit('failed: ' + ', '.join(failed))


main()

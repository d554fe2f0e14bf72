#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plots of what run.py measured, by gnuplot, each as SVG and PNG.

    plots.py JSON FOLDER
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

TERMINALS = {'svg': 'svg size 960,540 dynamic background "white"', 'png': 'pngcairo size 1280,720'}
LINES = 'set style data linespoints\nset pointsize 0.6\n'


def median(figures, value):
    return statistics.median(map(value, figures))


def speed(figure):
    return figure['gigabytes-per-second']


def quoted(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def lines(settings, series):
    """`series`: points by title."""
    data = ''.join(f'$d{number} << EOD\n' + ''.join(f'{x} {y}\n' for x, y in points) + 'EOD\n'
                   for number, points in enumerate(series.values()))
    curves = ', '.join(f'$d{number} title {quoted(title)} noenhanced'
                       for number, title in enumerate(series))
    return f'{data}{LINES}{settings}\nplot {curves}\n'


def bars(settings, columns, rows):
    """`rows`: for each title a value for each of the columns."""
    head = ' '.join(map(quoted, ['-', *columns]))
    data = '\n'.join(' '.join([quoted(title), *map(str, values)]) for title, values in rows.items())
    return (f'$d << EOD\n{head}\n{data}\nEOD\nset style data histogram\nset style fill solid\n'
            f'set key outside\nset yrange [0:*]\n{settings}\n'
            f'plot for [i=2:{len(columns) + 1}] $d using i:xtic(1) title columnheader(i) '
            'noenhanced\n')


def engine(results):
    """One curve a peer; the depth of eight."""
    series = {}
    for one in results:
        if not one['peer'].endswith(', 1'):
            series.setdefault(one['peer'], []).append((one['size'], median(one['figures'], speed)))
    return lines('set logscale x 2\nset logscale y\nset format x "%.0b %BB"\n'
                 'set xlabel "bytes of a grain"\nset ylabel "GB/s"\nset key outside', series)


def network(results):
    paths = list(dict.fromkeys(one['path'] for one in results))
    here = [one for one in results if one['path'] == paths[0]]
    sizes = list(dict.fromkeys(one['media'] for one in here))
    rows = {}
    for one in here:
        rows.setdefault(one['peer'], []).append(median(one['figures'], speed))
    return bars(f'set ylabel "GB/s, {paths[0]}"', sizes, rows)


def latency(results):
    """HDR-style: the better the share, the further to the right."""
    series = {}
    for one in results:
        rounds = [figure['distribution'] for figure in one['figures'] if 'distribution' in figure]
        if rounds:
            series[one['peer']] = [
                (1 / (1 - points[0][0]), statistics.median(point[1] for point in points))
                for points in zip(*rounds)]
    return lines('set logscale xy\nset ylabel "latency, µs"\nset xlabel "share of the pictures"\n'
                 'set key outside\nset xtics ("0" 1, "50 %%" 2, "90 %%" 10, "99 %%" 100, '
                 '"99.9 %%" 1000, "99.99 %%" 10000)', series)


def streams(results):
    series = {}
    for one in results:
        series.setdefault(one['peer'], []).append((one['streams'], median(
            one['figures'], lambda figure: (figure['sender-cpu'] + figure['receiver-cpu'])
            / figure['window'] * 100 / one['streams'])))
    return lines('set logscale x 2\nset yrange [0:*]\nset key outside\n'
                 'set xlabel "streams of 1080p60 at once"\n'
                 'set ylabel "CPU of a stream, both sides, % of a core"', series)


PLOTS = {'engine': ('engine', engine), 'network': ('pipelines network', network),
         'latency': ('pipelines live', latency), 'streams': ('streams', streams)}


def draw(parts, folder):
    """Of what there is in `parts`, results by the name of the benchmark."""
    if shutil.which('gnuplot') is None:
        print('plots: left out, gnuplot is not installed (package gnuplot-nox)')
        return
    os.makedirs(folder, exist_ok=True)
    for name, (part, script) in PLOTS.items():
        if part not in parts:
            continue
        text = script(parts[part]['results'])
        for kind, terminal in TERMINALS.items():
            file = os.path.join(folder, f'{name}.{kind}')
            subprocess.run(['gnuplot'], input=f'set encoding utf8\nset terminal {terminal}\n'
                           f'set output {quoted(file)}\nset grid\n{text}', text=True, check=True,
                           timeout=60)
            print(f'plots: {file}')


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding='utf-8') as file:
        draw(json.load(file)['parts'], sys.argv[2])


if __name__ == '__main__':
    main()

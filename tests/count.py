#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of a run of `meson test`: count.py BUILD/meson-logs/testlog.json

Prints "PASSED FAILED SKIPPED", and below it what failed: each program with its failures and the end
of its output. Meson counts programs; these hold many cases, which their output tells:
GoogleTest's and check's are understood, any other program is one case.
"""
import json
import re
import sys

GTEST = re.compile(r'^\[\s+(OK|FAILED|SKIPPED) +\] \S+.* \(\d+ ms\)$', re.MULTILINE)
FAILURES = re.compile(
    r'^(?:\S+:\d+: Failure\n(?:(?!\[).*\n){0,8}|\[\s+FAILED +\] \S+.* \(\d+ ms\)|\S+:\d+:[FE]:.*)',
    re.MULTILINE)
CHECK = re.compile(r'^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$', re.MULTILINE)
GOOD = ('OK', 'EXPECTEDFAIL', 'SKIP')
LAST_LINES = 25


def output_of(test):
    return test.get('stdout', '') + '\n' + test.get('stderr', '')


def cases(test):
    output = output_of(test)
    gtest = [match.group(1) for match in GTEST.finditer(output)]
    check = [[int(number) for number in match.groups()] for match in CHECK.finditer(output)]
    failed = gtest.count('FAILED') + sum(failures + errors for _, failures, errors in check)
    skipped = gtest.count('SKIPPED')
    passed = gtest.count('OK') + sum(checks for checks, _, _ in check) - sum(
        failures + errors for _, failures, errors in check)
    good = test['result'] in GOOD
    if test['result'] == 'SKIP':
        skipped = max(skipped, 1)
    elif good and passed + skipped == 0:
        passed = 1
    elif not good and failed == 0:
        failed = 1  # it crashed, ran out of time, or a sanitizer ended it
    return passed, failed, skipped


def report(test):
    yield f"{test['name']}: {test['result']} after {test['duration']:.1f} s"
    output = output_of(test)
    for failure in FAILURES.findall(output):
        yield from (f'  {line}' for line in failure.splitlines())
    yield from (f'  | {line}' for line in output.strip().splitlines()[-LAST_LINES:])


def main():
    with open(sys.argv[1], encoding='utf-8') as log:
        tests = [json.loads(line) for line in log]
    print(*(sum(column) for column in zip(*map(cases, tests))) if tests else (0, 0, 0))
    for test in tests:
        if test['result'] not in GOOD:
            print(*report(test), sep='\n')


main()

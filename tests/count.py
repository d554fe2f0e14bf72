#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of a run of `meson test`: count.py BUILD/meson-logs/testlog.json

Prints "PASSED FAILED SKIPPED". Meson counts programs; these hold many cases, which their output
tells: GoogleTest's and check's are understood, any other program is one case.
"""
import json
import re
import sys

GTEST = re.compile(r'^\[\s+(OK|FAILED|SKIPPED) +\] \S+.* \(\d+ ms\)$', re.MULTILINE)
CHECK = re.compile(r'^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$', re.MULTILINE)


def cases(test):
    output = test.get('stdout', '') + '\n' + test.get('stderr', '')
    gtest = [match.group(1) for match in GTEST.finditer(output)]
    check = [[int(number) for number in match.groups()] for match in CHECK.finditer(output)]
    failed = gtest.count('FAILED') + sum(failures + errors for _, failures, errors in check)
    skipped = gtest.count('SKIPPED')
    passed = gtest.count('OK') + sum(checks for checks, _, _ in check) - sum(
        failures + errors for _, failures, errors in check)
    good = test['result'] in ('OK', 'EXPECTEDFAIL')
    if test['result'] == 'SKIP':
        skipped = max(skipped, 1)
    elif good and passed + skipped == 0:
        passed = 1
    elif not good and failed == 0:
        failed = 1  # it crashed, ran out of time, or a sanitizer ended it
    return passed, failed, skipped


def main():
    with open(sys.argv[1], encoding='utf-8') as log:
        counts = [cases(json.loads(line)) for line in log]
    print(*(sum(column) for column in zip(*counts)) if counts else (0, 0, 0))


main()

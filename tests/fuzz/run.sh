#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a fuzzer for a few seconds from the seeds that its generator writes.
# usage: run.sh SEEDS FUZZER FOLDER [SECONDS]
set -euo pipefail
mkdir -p "$3"
"$1" "$3"
exec "$2" -max_total_time="${4:-10}" -timeout=5 -artifact_prefix="$3/crash-" -print_final_stats=1 "$3"

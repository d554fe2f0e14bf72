#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh), which has two NUMA nodes, and eth0 at the second one: where memory lies.
#
#     numa.sh BUILD-FOLDER
set -euo pipefail
ip address add 10.78.0.1/24 dev eth0
ip link set eth0 up
export FABRIC_TEST_FAR=eth0 FABRIC_TEST_FAR_ADDRESS=10.78.0.1 FABRIC_TEST_PATIENCE=4
exec "$1/tests/engine/numa_test"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh): what every transport promises, and what verbs has of its own, from one
# RDMA device to the other, over IPv4 and IPv6.
#
#     transport.sh BUILD-FOLDER PROVIDER ...
set -uo pipefail
build=$1 provider=$2
failed=0
export FABRIC_TEST_PATIENCE=4
export FABRIC_TEST_ADDRESS FABRIC_TEST_INTERFACE
promises() { "$build/tests/engine/transport_conformance_test" --gtest_filter="*/${provider//:/_}${1:-}" || failed=1; }
verbs_test() { "$build/tests/engine/verbs_transport_test" --gtest_filter="$1" || failed=1; }

FABRIC_TEST_ADDRESS=10.77.0.2 FABRIC_TEST_INTERFACE=10.77.0.1
promises
if [[ $provider == verbs ]]; then # libfabric 1.17 finds no verbs device by an IPv6 address
  verbs_test '-VerbsLink.*'
  FABRIC_TEST_ADDRESS=fd77::2 FABRIC_TEST_INTERFACE=fd77::1
  promises
  verbs_test '-VerbsLink.*'
  FABRIC_TEST_ADDRESS=10.77.0.2 FABRIC_TEST_INTERFACE=10.77.0.1
  # The same promises but for the order, over several queue pairs; the thousand connections, which take
  # minutes here, were made twice above, and VerbsQueuePairs makes fifty of these.
  printf '[verbs]\nqueue-pairs=4\ncqs-per-device=2\nmax-wr=64\n' > /tmp/several-queue-pairs.conf
  GRAINFABRIC_CONFIG=/tmp/several-queue-pairs.conf FABRIC_TEST_UNORDERED=1 promises "-*many_connections*"
  FABRIC_TEST_LINK=rdma0 verbs_test 'VerbsLink.*'
fi
exit $failed

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh): the element tests that a transport over a real wire has to show, from one
# RDMA device to the other.
#
#     elements.sh BUILD-FOLDER PROVIDER TARGET-ADDRESS INITIATOR-ADDRESS
set -uo pipefail
build=$1
export FABRIC_TEST_PROVIDER=$2 FABRIC_TEST_ADDRESS=$3 FABRIC_TEST_INTERFACE=$4 FABRIC_TEST_PATIENCE=4
export FABRIC_TEST_DMABUF=1 # there are some here
failed=0
themes=(no_copy foreign_memory back_pressure recovery slices)
# The longest is about formats, and the same for all: once is enough.
[[ $FABRIC_TEST_PROVIDER != verbs ]] || themes+=(round_trip)
for theme in "${themes[@]}"; do
  begun=$SECONDS
  "$build/tests/elements/${theme}_test" > /tmp/"$theme.log" 2>&1
  code=$?
  echo "$theme over $FABRIC_TEST_PROVIDER: $(grep -E '^[0-9]+%' /tmp/"$theme.log") in $((SECONDS - begun)) s"
  if ((code != 0)); then
    failed=1
    cat /tmp/"$theme.log"
  fi
done
exit $failed

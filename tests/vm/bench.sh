#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh): `grainfabric bench` from one RDMA device to the other, every byte compared.
#
#     bench.sh BUILD-FOLDER PROVIDER TARGET-ADDRESS INITIATOR-ADDRESS
set -uo pipefail
program=$1/src/tool/grainfabric provider=$2 target=$3 initiator=$4
failed=0
"$program" info || failed=1
timeout 300 "$program" bench server --address "$target" --provider "$provider" --quiet &
server=$!
sleep 3 # until it listens, on an emulated processor
for operation in write read send; do
  sizes=4k,64k,1m,5529600
  if [[ $operation == send ]]; then sizes=64,1k,4k; fi
  timeout 120 "$program" bench client "$target" --interface "$initiator" --provider "$provider" \
    --operation $operation --sizes $sizes --iterations 30 --verify --quiet || failed=1
done
kill $server
wait $server
exit $failed

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh), which has dmabufs: what becomes of other elements' memory within one host.
#
#     dmabuf.sh BUILD-FOLDER
set -euo pipefail
export FABRIC_TEST_PROVIDER=local FABRIC_TEST_DMABUF=1 FABRIC_TEST_PATIENCE=4
exec "$1/tests/elements/foreign_memory_test"

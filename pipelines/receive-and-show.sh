#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows in a window what a fabricsink sends here, one sender after the other; without a display it
# counts the buffers. See send-test-pattern.sh.
#   ./pipelines/receive-and-show.sh [PORT]
set -euo pipefail
# shellcheck source=pipelines/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

if [[ -n ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
  # A picture is stamped when it arrives and shown at once: with sync=true it would be late already.
  show=(videoconvert '!' autovideosink sync=false)
else
  show=(progressreport update-freq=1 format=buffers do-query=false '!' fakesink sync=false)
fi
exec gst-launch-1.0 -e fabricsrc port="${1:-20886}" keep-listening=true '!' "${show[@]}"

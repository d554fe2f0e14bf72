#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sends a moving test pattern, uncompressed 10 bit as in a studio, to a fabricsrc:
#   ./pipelines/receive-and-show.sh             (here or on another host, before or after)
#   ./pipelines/send-test-pattern.sh [HOST [PORT]]
set -euo pipefail
# shellcheck source=pipelines/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"

# videotestsrc draws straight into the slots that fabricsink offers: nothing is copied here.
exec gst-launch-1.0 -e \
  videotestsrc is-live=true pattern=ball \
  ! 'video/x-raw,format=v210,width=1920,height=1080,framerate=30/1' \
  ! fabricsink host="${1:-127.0.0.1}" port="${2:-20886}"

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the scripts here, by `source`: installs what is missing, builds, and lets GStreamer find the
# plugin and the engine its transport modules where they were built. Sets $build.

# shellcheck disable=SC2034  # $build is for the scripts
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${GRAINFABRIC_BUILD:-$repository/build}

"$repository/pipelines/install-packages.sh"

log=$build/prepare.log
mkdir -p "$build"
if [[ ! -f $build/build.ninja ]]; then
  # The tests have a build of their own (tests/run.sh).
  echo "Building in $build; this takes a minute or two the first time." >&2
  meson setup "$build" "$repository" -Dtests=disabled >"$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
fi
ninja -C "$build" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GRAINFABRIC_MODULE_PATH=$build/src/transport/ofi:$build/src/transport/verbs

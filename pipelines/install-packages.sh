#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what of Debian's packages is missing; nothing and quickly if all is there. The one list
# of what grainfabric needs. --tests: also what only tests/run.sh needs.
set -euo pipefail

build=(
  g++ libfabric-dev libglib2.0-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  libhwloc-dev libibverbs-dev libjson-glib-dev librdmacm-dev meson ninja-build pkg-config
)
# mp4 and png; the H.264 and AAC decoders; gst-launch-1.0; the footage of the demo.
demo=(
  forensics-samples-files gstreamer1.0-libav gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-tools
)
# ccache saves most of the time of a second run. libc6-dbg: names of C library functions, by which
# tests/*.supp know them. The sanitizers' runtimes of GCC come with it,
# clang's and libFuzzer in libclang-rt.
tests=(
  ccache clang-14 clang-format-14 clang-tidy-14 gstreamer1.0-plugins-bad libc6-dbg
  libclang-rt-14-dev libgtest-dev python3 util-linux
  # the guest of tests/vm; its kernel is downloaded by tests/vm/guest.sh
  ibverbs-providers iproute2 kmod qemu-system-x86 rdma-core
)

wanted=("${build[@]}" "${demo[@]}")
case ${1:-} in
  '') ;;
  --tests) wanted+=("${tests[@]}") ;;
  *)
    echo "usage: $0 [--tests]" >&2
    exit 2
    ;;
esac

missing_packages() {
  local package
  declare -A installed=()
  while read -r package; do installed[$package]=1; done < <(
    # Complains of those that it does not know, which are missing: that is the question.
    dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
      sed -n 's/^installed //p'
  )
  for package in "${wanted[@]}"; do
    [[ -n ${installed[$package]:-} ]] || printf '%s\n' "$package"
  done
}

if ! command -v dpkg-query >/dev/null; then
  echo "This is not Debian: please see to the packages that correspond to: ${wanted[*]}" >&2
  exit 0 # what really is missing, meson will say
fi

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} == 0)); then exit 0; fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "Missing packages, and neither root nor sudo to install them. As root, run:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing missing packages: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -q </dev/null >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null >&2

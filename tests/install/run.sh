#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the build directory BUILD into an empty place, builds a program there with nothing but
# pkg-config's word, and lets it move a grain: headers, library, .pc file and module all in place.
set -euo pipefail
build=$1 source=$2 prefix=$3 libdir=$4

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root meson install -C "$build" --no-rebuild --quiet

libraries=$root$prefix/$libdir
sed -i "s|^prefix=.*|prefix=$root$prefix|" "$libraries/pkgconfig/grainfabric-1.0.pc"
export PKG_CONFIG_PATH=$libraries/pkgconfig
read -ra flags < <(pkg-config --cflags --libs grainfabric-1.0)
modules=$(pkg-config --variable=moduledir grainfabric-1.0)

${CXX:-c++} -std=c++20 "$source" "${flags[@]}" -o "$root/program"
# Neither the plugin nor the engine has a library of RDMA near it: those are the modules' matter.
files=("$libraries/libgrainfabric-1.0.so")
if [[ -e $build/gst/libgstfabric.so ]]; then # not with -Dplugin=disabled
  files+=("$libraries/gstreamer-1.0/libgstfabric.so")
fi
for file in "${files[@]}"; do
  if [[ ! -e $file ]]; then
    echo "$file is not installed" >&2
    exit 1
  fi
  if LD_LIBRARY_PATH=$libraries ldd "$file" | grep -E 'lib(fabric|ibverbs|rdmacm)\.so'; then
    echo "$file needs a library of RDMA" >&2
    exit 1
  fi
done
LD_LIBRARY_PATH=$libraries GRAINFABRIC_MODULE_PATH=$modules "$root/program"

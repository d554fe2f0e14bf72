#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a guest whose kernel has RDMA in software (rdma_rxe, "soft-RoCE"), for tests of
# verbs on hosts without an RDMA device. The guest is Debian's stock kernel in QEMU, without KVM; its
# root is this host's file system, read-only under an overlay that is gone with it. There is rxe0 on
# rdma0 (10.77.0.1, fd77::1) and rxe1 on rdma1 (10.77.0.2, fd77::2), two ends of a veth pair: see
# guest-network.sh. And there is vgem, a display without hardware, which makes dmabufs; and
# there are two NUMA nodes, and eth0, which leads nowhere, at the second one.
#
#     tests/vm/guest.sh [-t SECONDS] COMMAND [ARGUMENT...]
#
# Output and exit status are the command's. Besides: 77, the guest cannot be had here, and why; 124,
# not done in SECONDS (300 unless told, boot included); 125, the guest died, with its last words.
# Kernel and busybox are downloaded once (never installed) to ${XDG_CACHE_HOME:-~/.cache}/grainfabric-vm.
# Emulated: it shows what is right, never how fast.
set -euo pipefail

here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/grainfabric-vm
modules=(virtio_pci virtio_net 9p 9pnet_virtio overlay virtio-rng crc32_generic veth sch_netem sch_prio cls_u32
  ib_uverbs rdma_ucm rdma_rxe vgem)
seconds=300
if [[ ${1:-} == -t ]]; then
  seconds=$2
  shift 2
fi
(($# > 0)) || { sed -n '3,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

cannot() {
  echo "No soft-RoCE guest here: $*" >&2
  exit 77
}

# ---- what the guest is made of, kept in the cache -----------------------------------------------

# unpacked PACKAGE: prints the folder with the contents of that package of Debian
unpacked() {
  local folder=$cache/$1
  if [[ ! -d $folder ]]; then
    local work
    work=$(mktemp -d "$cache/unpacking.XXXXXX")
    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$1" >&2) ||
      (cd "$work" && apt-get -q update >&2 && apt-get -q -o APT::Sandbox::User=root download "$1" >&2) ||
      return 1
    dpkg-deb -x "$work"/*.deb "$work/tree" && mv "$work/tree" "$folder" && rm -rf "$work"
  fi
  echo "$folder"
}

# The package that linux-image-amd64 stands for today, or the one that is here already.
kernel_package() {
  local name=
  name=$(cd "$cache" && ls -d linux-image-*-amd64 2>/dev/null | sort -V | tail -1)
  [[ -n $name ]] || name=$(apt-cache depends linux-image-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1)
  echo "$name"
}

# make_initrd KERNEL-FOLDER VERSION BUSYBOX FILE: the modules and guest-init.sh, packed for the kernel
make_initrd() {
  local kernel=$1 version=$2 busybox=$3 file=$4 tree module path
  rm -rf "$cache"/initrd-*
  tree=$(mktemp -d "$cache/tree.XXXXXX")
  mkdir -p "$tree"/{bin,dev,host,modules,over,proc,root,run,sys}
  cp "$busybox" "$tree/bin/busybox"
  cp "$here/guest-init.sh" "$tree/init"
  chmod 755 "$tree/init"
  [[ -s $kernel/lib/modules/$version/modules.dep ]] || depmod -b "$kernel" "$version"
  for module in "${modules[@]}"; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
    while read -r path; do
      cp "$path" "$tree/modules/"
      basename "$path"
    done > "$tree/modules/order"
  grep -q rdma_rxe "$tree/modules/order" || cannot "kernel $version has no rdma_rxe"
  (cd "$tree" && find . | "$busybox" cpio -o -H newc 2>/dev/null | gzip -1) > "$file.new"
  mv "$file.new" "$file"
  rm -rf "$tree"
}

((EUID == 0)) || cannot "its files are this host's, which takes root to read"
[[ $(uname -m) == x86_64 ]] || cannot "it is made for x86-64"
for tool in qemu-system-x86_64 apt-get dpkg-deb modprobe depmod rdma ip; do
  command -v $tool >/dev/null || cannot "$tool is missing (pipelines/install-packages.sh --tests)"
done
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
package=$(kernel_package)
if [[ -z $package ]]; then
  apt-get -q update >&2 || true
  package=$(kernel_package)
fi
[[ -n $package ]] || cannot "apt-get knows no linux-image-amd64"
kernel=$(unpacked "$package") || cannot "apt-get cannot download $package"
busybox=$(unpacked busybox-static)/bin/busybox || cannot "apt-get cannot download busybox-static"
version=$(ls "$kernel/lib/modules")
initrd=$cache/initrd-$version-$(cat "$here/guest.sh" "$here/guest-init.sh" | sha256sum | cut -c1-16)
[[ -s $initrd ]] || make_initrd "$kernel" "$version" "$busybox" "$initrd"
flock -u 9

# ---- one run ------------------------------------------------------------------------------------

run=$(mktemp -d "${TMPDIR:-/tmp}/grainfabric-vm.XXXXXX")
trap 'rm -rf "$run"' EXIT
mkdir "$run/share"
cp "$here/guest-network.sh" "$run/share/network"
{
  declare -px | grep -E '^declare -x (FABRIC_|GRAINFABRIC_|GST_|GTEST_|CK_|FI_|LANG)' || true
  printf 'cd %q\nexec' "$PWD"
  printf ' %q' "$@"
  echo
} > "$run/share/command"
touch "$run/share/output" "$run/console"
cpus=$(nproc) cpus_of_node1=
if ((cpus > 1)); then cpus_of_node1=,cpus=1-$((cpus - 1)); fi

code=0
timeout --kill-after=5 "$seconds" qemu-system-x86_64 \
  -accel tcg,thread=multi,tb-size=512 -cpu max -machine q35 -smp "$cpus" -m 3G \
  -object memory-backend-ram,id=memory0,size=1536M -object memory-backend-ram,id=memory1,size=1536M \
  -numa node,memdev=memory0,cpus=0 -numa "node,memdev=memory1${cpus_of_node1}" \
  -nodefaults -no-user-config -display none -no-reboot -nic none \
  -kernel "$kernel/boot/vmlinuz-$version" -initrd "$initrd" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable random.trust_cpu=on" \
  -serial "file:$run/console" -object rng-random,id=rng,filename=/dev/urandom \
  -device virtio-rng-pci,rng=rng \
  -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
  -device virtio-9p-pci,fsdev=host,mount_tag=host \
  -fsdev "local,id=share,path=$run/share,security_model=none" \
  -device virtio-9p-pci,fsdev=share,mount_tag=share \
  -device pxb-pcie,id=far,bus=pcie.0,bus_nr=32,numa_node=1 \
  -device pcie-root-port,id=far_port,bus=far,chassis=1 -device virtio-net-pci,bus=far_port \
  < /dev/null > "$run/qemu" 2>&1 9>&- || code=$?

cat "$run/share/output"
if [[ -s $run/share/status ]]; then exit "$(<"$run/share/status")"; fi
if ((code == 124 || code == 137)); then
  echo "guest.sh: not done within $seconds s" >&2
  exit 124
fi
echo "guest.sh: the guest died (qemu: $code); its last words:" >&2
{ cat "$run/qemu"; tail -n 40 "$run/console"; } | tr -d '\r' >&2
exit 125

#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process (guest.sh): loads the modules, puts an overlay above the host's files,
# runs /share/command in there, and leaves its status in /share/status.
export PATH=/bin
/bin/busybox --install -s /bin
give_up() {
  echo "guest-init: $*" > /dev/console
  poweroff -f
}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  insmod "/modules/$module" || give_up "cannot load $module"
done < /modules/order

options=trans=virtio,version=9p2000.L,msize=524288
mount -t 9p -o "ro,cache=loose,$options" host /host || give_up "cannot mount the host's files"
mount -t tmpfs -o size=75% over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root ||
  give_up "cannot mount the overlay"
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /root/dev/shm
mount -t tmpfs -o mode=755 tmpfs /root/run
mkdir /root/run/share
mount -t 9p -o "rw,$options" share /root/run/share || give_up "cannot mount the share"
ln -s /proc/self/fd /root/dev/fd

chroot /root /bin/bash /run/share/network > /dev/console 2>&1 || give_up "cannot set the network up"
hostname guest
ulimit -l unlimited
ulimit -n 65536
ulimit -c 0
export HOME=/tmp LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
chroot /root /bin/bash /run/share/command < /dev/null > /root/run/share/output 2>&1
echo $? > /root/run/share/status
poweroff -f

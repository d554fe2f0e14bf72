#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two RDMA devices of the guest (guest.sh) on the two ends of a veth pair, both in one network
# namespace, since rxe of these kernels knows no other. What goes from one end to the other would be
# turned round at lo, where rxe does not listen; so the rules that send it over the pair come before
# the table of local addresses, and what comes in by the pair is looked up there first of all. To
# cross the pair, bind the address that the connection leaves from.
#
#     network          everything
#     network again    what the kernel forgets when a link goes down
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Routes and neighbours of one end, and its IPv6 address, which go with the link.
of_link() { # END
  local device=rdma$1 own=$(($1 + 1)) other=$((2 - $1)) mac
  ip address replace fd77::$own/64 dev "$device" nodad
  ip -4 route replace 10.77.0.$other/32 dev "$device" src 10.77.0.$own table $((101 + $1))
  ip -6 route replace fd77::$other/128 dev "$device" src fd77::$own table $((101 + $1))
  # Nobody answers for an address that is local on both sides: the neighbours are written down.
  mac=$(< /sys/class/net/rdma$((1 - $1))/address)
  ip neighbour replace 10.77.0.$other lladdr "$mac" dev "$device"
  ip neighbour replace fd77::$other lladdr "$mac" dev "$device"
}

if [[ ${1:-} == again ]]; then
  of_link 0
  of_link 1
  exit
fi

ip link set lo up
ip link add rdma0 type veth peer name rdma1
for end in 0 1; do
  device=rdma$end own=$((end + 1)) other=$((2 - end))
  echo 1 > /proc/sys/net/ipv4/conf/$device/accept_local
  echo 0 > /proc/sys/net/ipv4/conf/$device/rp_filter
  ip address add 10.77.0.$own/24 dev $device
  ip link set $device mtu 9000 up
  for family in 4 6; do
    if ((family == 4)); then net=10.77.0.; else net=fd77::; fi
    ip -$family rule add pref 1 iif $device lookup local
    ip -$family rule add pref 2 from $net$own to $net$other lookup $((101 + end))
  done
done
echo 1 > /proc/sys/net/ipv4/conf/all/accept_local
echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
for family in 4 6; do
  ip -$family rule add pref 10 lookup local
  ip -$family rule del pref 0
done
of_link 0
of_link 1
rdma link add rxe0 type rxe netdev rdma0
rdma link add rxe1 type rxe netdev rdma1

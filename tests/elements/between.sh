#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `auto` between two users of this host, and between containers on it: local where they share a
# socket, another transport where not, and every byte as it was sent. Needs root, to be others.
#
#     between.sh PLUGIN ENGINE MODULE...    copied, since others may not reach them where they are
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

cannot() {
  echo "SKIP: $*"
  exit 77
}
((EUID == 0)) || cannot "it takes root to be other users and to make network namespaces"
for tool in gst-launch-1.0 ip setpriv unshare; do
  command -v "$tool" >/dev/null || cannot "$tool is missing (pipelines/install-packages.sh --tests)"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/grainfabric-between.XXXXXX")
left=gf-left-$$ right=gf-right-$$
clean_up() {
  ip netns del "$left" 2>/dev/null || true
  ip netns del "$right" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
chmod 755 "$work"
mkdir "$work"/{plugin,lib,shared}
cp "$1" "$work/plugin"
cp "${@:2}" "$work/lib"
ldconfig -n "$work/lib"  # the names that programs know them by
chmod 1777 "$work/shared"

# ---- who they can be ----------------------------------------------------------------------------

root=()
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
container=(unshare --mount --pid --ipc --uts --fork)
rootless=("${nobody[@]}" unshare --user --map-root-user --mount --pid --ipc --uts --fork)

at_left=(ip netns exec "$left") at_right=(ip netns exec "$right")

# Two network namespaces with a cable between them; not where this is a container itself, perhaps.
make_networks() {
  ip netns add "$left" && ip netns add "$right" &&
    ip link add gf-l-$$ netns "$left" type veth peer name gf-r-$$ netns "$right" &&
    ip -n "$left" address add 10.79.0.1/24 dev gf-l-$$ &&
    ip -n "$right" address add 10.79.0.2/24 dev gf-r-$$ || return
  local side
  for side in "$left:gf-l-$$" "$right:gf-r-$$"; do
    ip -n "${side%:*}" link set lo up && ip -n "${side%:*}" link set "${side#*:}" mtu 9000 up || return
  done
  "${at_left[@]}" "${container[@]}" true && "${at_left[@]}" "${rootless[@]}" true
}

# ---- a stream -----------------------------------------------------------------------------------

source="videotestsrc num-buffers=40 pattern=snow ! video/x-raw,format=v210,width=384,height=240"

# launch NAME COMMAND...: gst-launch-1.0 with the libraries of this build, as COMMAND has it
launch() {
  local name=$1
  shift
  mkdir -p -m 1777 "$work/$name"
  env HOME="$work/$name" GST_REGISTRY="$work/$name/registry" GST_PLUGIN_PATH="$work/plugin" \
    GST_REGISTRY_FORK=no GRAINFABRIC_MODULE_PATH="$work/lib" LD_LIBRARY_PATH="$work/lib" \
    GST_DEBUG=fabric:4 GST_DEBUG_NO_COLOR=1 "$@"
}

declare -i failures=0
# expect local|other ADDRESS OPTIONS: what is in the arrays `receiver` and `sender` do as expected
expect() {
  local wanted=$1 address=$2 options=$3 port used
  port=$((15000 + RANDOM % 15000))  # below those of outgoing connections
  rm -rf "$work"/{receiver,sender}
  # The elements' own words go where gst-launch cannot mix them up.
  # shellcheck disable=SC2086
  launch receiver timeout 60 "${receiver[@]}" gst-launch-1.0 -m fabricsrc \
    address="$address" port="$port" $options ! filesink location="$work/receiver/got" \
    >"$work/receiver-messages" 2>"$work/receiver-log" &
  local pid=$!
  # shellcheck disable=SC2086
  launch sender timeout 60 "${sender[@]}" gst-launch-1.0 -m $source ! fabricsink \
    host="$address" port="$port" $options \
    >"$work/sender-messages" 2>"$work/sender-log" || true
  wait "$pid" || true
  used=$(sed -n 's/.*fabric-peer, state=(string)connected.*provider=(string)\([^,]*\),.*/\1/p' \
    "$work/sender-messages" | head -1)
  echo "$what: ${used:-no session}"
  if [[ $wanted == local ]]; then
    [[ $used == local ]] || fail "not local: $(grep -ho 'reason=.*' "$work/sender-messages" | head -1)"
    grep -q 'At the end.*bytes-copied=(guint64)0,' "$work/receiver-log" || fail "something was copied"
  else
    [[ -n $used && $used != local ]] || fail "local, or nothing"
  fi
  cmp "$work/expected" "$work/receiver/got" || fail "other bytes than were sent"
}
fail() {
  echo "FAIL: $what: $*"
  tail -n 5 "$work"/{receiver,sender}-{messages,log}
  failures+=1
}

# shellcheck disable=SC2086
launch want gst-launch-1.0 -q $source ! filesink location="$work/expected"
directory="transport-options=local,socket-directory=$work/shared"

what="root to nobody" receiver=("${nobody[@]}") sender=("${root[@]}")
expect local 127.0.0.1 ""
what="nobody to root" receiver=("${root[@]}") sender=("${nobody[@]}")
expect local 127.0.0.1 ""
what="nobody to root by a directory"
expect local 127.0.0.1 "$directory"

if ! make_networks; then
  echo "not between containers: namespaces cannot be made here"
  exit $((failures > 0))
fi
what="containers of root with a directory"
receiver=("${at_left[@]}" "${container[@]}") sender=("${at_right[@]}" "${container[@]}")
expect local 10.79.0.1 "$directory"
what="containers of root without one"
expect other 10.79.0.1 ""
what="a container of root to a rootless one with a directory"
receiver=("${at_left[@]}" "${rootless[@]}")
expect local 10.79.0.1 "$directory"
what="rootless containers with a directory"
sender=("${at_right[@]}" "${rootless[@]}")
expect local 10.79.0.1 "$directory"

echo "$failures failures"
((failures == 0))

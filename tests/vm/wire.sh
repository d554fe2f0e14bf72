#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh): 1080p v210 from rxe0 to rxe1, two processes of gst-launch-1.0, compared
# byte by byte and with no byte copied, with options too; a cable that is pulled and put back; no right
# to use the device, and too little locked memory.
#
#     wire.sh PROVIDER TARGET-ADDRESS INITIATOR-ADDRESS
set -uo pipefail
provider=$1 target=$2 initiator=$3
device=rdma0
work=$(mktemp -d)
cd "$work" || exit 1
# A copy that is up to date: no scan of all plugins in each process.
if [[ -r ${GST_REGISTRY:-} ]]; then cp "$GST_REGISTRY" registry.bin; fi
export GST_REGISTRY=$work/registry.bin
gst-inspect-1.0 fabricsink > /dev/null
failed=0
caps='video/x-raw,format=v210,width=1920,height=1080,framerate=60/1'
source='videotestsrc pattern=ball'
options=() # properties of both sides
here="host=$target interface=$initiator provider=$provider port=20886 sync=false"

step() { echo "$provider: $1: $([[ $2 == 0 ]] && echo good || echo BAD)"; }
judge() { # TEXT COMMAND...
  local text=$1 code=0
  shift
  "$@" || code=1
  step "$text" $code
  if ((code != 0)); then
    failed=1
    tail -n 30 ./*.log
  fi
}
# final LOG FIELD: a number out of the statistics that an element logs when it stops
final() { grep 'At the end' "$1" | tail -n 1 | grep -oE "[ ,]$2=\(guint64\)[0-9]+" | head -n 1 | sed 's/.*)//'; }

# In the foreground, timeout passes a signal on once. Else it sends it to its whole group, too, and the
# second SIGINT ends a gst-launch-1.0 that is stopping.
launch() { GST_DEBUG_NO_COLOR=1 GST_DEBUG=fabric*:4 exec timeout --foreground 120 gst-launch-1.0 "$@"; }
receive() { # LOG ARGUMENT...
  local log=$1
  shift
  launch fabricsrc address="$target" port=20886 provider="$provider" "${options[@]}" "$@" \
    > "$log" 2>&1 &
}
send() { # LOG BUFFERS
  (launch $source num-buffers="$2" ! $caps ! fabricsink $here "${options[@]}" > "$1" 2>&1)
}

# ---- bit for bit, without a copy ----------------------------------------------------------------
gst-launch-1.0 -q $source num-buffers=10 ! $caps ! filesink location=expected.raw
receive receive.log num-buffers=10 ! filesink location=received.raw
send send.log 10
wait
judge 'ten pictures of 1080p v210 arrive bit for bit' cmp expected.raw received.raw
judge 'the initiator copied nothing' test "$(final send.log bytes-copied)" = 0
judge 'the target copied nothing' test "$(final receive.log bytes-copied)" = 0
judge 'the transport is the one asked for' grep -q "Session with .*: $provider " send.log
if [[ $provider == verbs ]]; then
  options=('transport-options=verbs,queue-pairs=4,cqs-per-device=2,max-wr=64,max-sge=64')
  receive options-receive.log num-buffers=10 ! filesink location=received.raw
  send options-send.log 10
  wait
  judge 'the same over four queue pairs, as transport-options say' cmp expected.raw received.raw
  judge '... what the device cannot do is lowered in words' grep -q 'max-sge asked 64, got' options-send.log
  options=()
fi
rm -f expected.raw received.raw

# ---- the cable ----------------------------------------------------------------------------------
receive cable-receive.log ! fakesink silent=true
target_process=$!
launch videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=10/1 \
  ! fabricsink $here > cable-send.log 2>&1 &
sender_process=$!
sessions() { grep -c 'Session with .*first of' cable-send.log; }
until_sessions() { # COUNT SECONDS
  for ((i = 0; i < $2 * 2; ++i)); do
    (($(sessions) >= $1)) && return 0
    sleep 0.5
  done
  return 1
}
judge 'a live stream begins' until_sessions 1 20
sleep 2
ip link set $device down
sleep 8
ip link set $device up
# What belongs to the link goes with it (guest-network.sh).
bash /run/share/network again
judge 'after the cable was out for eight seconds the stream comes back' until_sessions 2 40
sleep 3
kill -INT $sender_process
judge 'the sender stops when it is told to' wait $sender_process
kill -INT $target_process
judge 'the target stops when it is told to' wait $target_process
judge 'every grain that was sent arrived, or is counted as lost or dropped' bash -c "
  (( $(final cable-receive.log grains) + $(final cable-send.log grains-lost) >= $(final cable-send.log grains) ))"

# ---- no right, and too little locked memory -------------------------------------------------------
# Root without one of its rights, since the build may lie where nobody else can read.
chown 1 /dev/infiniband/*
chmod 600 /dev/infiniband/*
setpriv --bounding-set=-dac_override,-dac_read_search timeout 60 gst-launch-1.0 \
  fabricsrc address="$target" port=20887 provider="$provider" ! fakesink > right-receive.log 2>&1 &
target_process=$!
timeout 30 gst-launch-1.0 videotestsrc ! video/x-raw,width=320,height=180 \
  ! fabricsink ${here/20886/20887} connect-timeout=8000 > right-send.log 2>&1
kill $target_process
wait $target_process
judge 'no right to the device is named' \
  grep -qi 'ERROR.*\(permission\|not available\)' right-send.log right-receive.log
(
  ulimit -l 1000
  setpriv --bounding-set=-ipc_lock bash -c "
    timeout 30 gst-launch-1.0 fabricsrc address=$target port=20887 provider=$provider ! fakesink > lock-receive.log 2>&1 &
    timeout 20 gst-launch-1.0 videotestsrc num-buffers=20 ! video/x-raw,width=640,height=360,format=UYVY \
      ! fabricsink ${here/20886/20887} connect-timeout=10000 > lock-send.log 2>&1
    kill %1"
)
judge 'too little locked memory is named at the initiator' grep -q 'ERROR.*may lock only 1000 KiB' lock-send.log
judge '... with what to do' grep -q 'ulimit -l unlimited' lock-send.log
judge '... and at the target' grep -q 'WARNING.*may lock only 1000 KiB' lock-receive.log
exit $failed

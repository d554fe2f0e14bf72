#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the guest (guest.sh): udp over a link that loses, delays, reorders and doubles packets (netem),
# and where no UDP comes through in one direction. Pictures are compared byte by byte.
#
#     udp.sh TARGET-ADDRESS INITIATOR-ADDRESS
set -uo pipefail
target=$1 initiator=$2
work=$(mktemp -d)
cd "$work" || exit 1
if [[ -r ${GST_REGISTRY:-} ]]; then cp "$GST_REGISTRY" registry.bin; fi
export GST_REGISTRY=$work/registry.bin GST_DEBUG_NO_COLOR=1
gst-inspect-1.0 fabricsink > /dev/null
failed=0
pictures=(videotestsrc pattern=smpte75 num-buffers=20 ! video/x-raw,format=UYVY,width=640,height=360)

judge() { # TEXT COMMAND...
  local text=$1
  shift
  if "$@"; then
    echo "udp: $text: good"
  else
    echo "udp: $text: BAD"
    failed=1
    tail -n 20 ./*.log
  fi
}
cross() { # PROVIDER: sends the pictures from one side to the other
  rm -f received.raw
  GST_DEBUG=fabric*:4 timeout 120 gst-launch-1.0 fabricsrc address="$target" port=20886 \
    provider="$1" num-buffers=20 ! filesink location=received.raw > receive.log 2>&1 &
  local receiver=$! code=0
  GST_DEBUG=fabric*:4 timeout 120 gst-launch-1.0 "${pictures[@]}" ! fabricsink host="$target" \
    interface="$initiator" port=20886 provider="$1" sync=false > send.log 2>&1 || code=1
  wait $receiver || code=1
  ((code == 0)) && cmp expected.raw received.raw
}
gst-launch-1.0 -q "${pictures[@]}" ! filesink location=expected.raw

while IFS= read -r weather; do
  for device in rdma0 rdma1; do
    tc qdisc replace dev $device root netem limit 100000 $weather || exit 1
  done
  judge "with $weather all arrives" cross udp
done << 'WEATHER'
loss 1%
loss 10%
delay 25ms
delay 25ms 10ms
delay 2ms loss 2% duplicate 5% reorder 25%
WEATHER
for device in rdma0 rdma1; do tc qdisc del dev $device root; done

# ---- no UDP in one direction -----------------------------------------------------------------------
tc qdisc add dev rdma1 root handle 1: prio
tc qdisc add dev rdma1 parent 1:1 handle 10: netem loss 100%
tc filter add dev rdma1 parent 1: protocol ip prio 1 u32 match ip protocol 17 0xff flowid 1:1
tc filter add dev rdma1 parent 1: protocol ip prio 2 u32 match u32 0 0 flowid 1:2
judge 'where UDP is blocked one way, tcp is next' cross udp,tcp
judge '... and both sides say why' grep -q 'Session with .*: tcp .*not udp' send.log
judge '... the target, too' grep -q 'Session with .*: tcp .*not udp' receive.log
GST_DEBUG=fabric*:4 timeout 60 gst-launch-1.0 fabricsrc address="$target" port=20886 provider=udp \
  ! fakesink > receive.log 2>&1 &
receiver=$!
GST_DEBUG=fabric*:4 timeout 60 gst-launch-1.0 "${pictures[@]}" ! fabricsink host="$target" \
  interface="$initiator" port=20886 provider=udp connect-timeout=9000 sync=false > send.log 2>&1
kill $receiver
wait $receiver
judge 'with udp alone the error says what to look at' grep -qE 'ERROR.*UDP' send.log
exit $failed

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plays a file from one process to another, video and audio as two streams, over fabricsink and
# fabricsrc, and shows that all of it arrived as it was sent. Builds first if need be.
set -euo pipefail

file=/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4
host=127.0.0.1
provider=auto
seconds=10
out=
fast=()

usage() {
  cat <<END
usage: ${0##*/} [options]
  --file FILE      what to play (camera footage of the package forensics-samples-files)
  --seconds N      play this much; a shorter file is repeated, a longer one cut; 0: the file
                   once, to its end ($seconds)
  --fast           as fast as it goes; without: in real time
  --host ADDRESS   address of this host for both processes to meet at ($host)
  --provider NAME  transport: auto, tcp, "tcp;ofi_rxm", shm, … ($provider)
  --out DIR        where the pictures and the lists of buffers go (a new directory under /tmp)
END
}

while (($# > 0)); do
  case $1 in
    --file | --seconds | --host | --provider | --out)
      if (($# < 2)); then
        echo "$1 needs a value; see --help" >&2
        exit 2
      fi
      declare "${1#--}=$2"
      shift 2
      ;;
    --fast)
      fast=(--fast)
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      echo "Unknown option $1" >&2
      usage >&2
      exit 2
      ;;
  esac
done
if ! [[ $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
  echo "--seconds $seconds is not a number; see --help" >&2
  exit 2
fi
# Relative to where the user is, before anything changes directory.
file=$(realpath -m -- "$file")
out=$(realpath -m -- "${out:-$(mktemp -d /tmp/grainfabric-demo.XXXXXX)}")

# shellcheck source=pipelines/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
play=$build/pipelines/play/grainfabric-play

if [[ ! -r $file ]]; then
  echo "There is no file $file to play" >&2
  exit 1
fi
mkdir -p "$out"
# What an earlier run left would pass for this one's.
rm -f "$out"/{sent,received}.ini "$out"/{sent,received}-{video,audio}.txt "$out"/{first,last}-frame.png

streams=$("$play" streams "$file")
receive_streams=()
for stream in $streams; do receive_streams+=(--stream "$stream=0"); done # any free port

receiver=
sender=
# Both, whatever happens: neither waits for the other for ever.
trap 'kill $receiver $sender 2>/dev/null || true' EXIT
# Ctrl-C is for the two processes, which end in good order and leave something to report.
trap : INT

echo "Playing $file ($(paste -sd+ <<<"$streams")) from one process to another at $host"
ports=$out/ports
"$play" receive --host "$host" --provider "$provider" --report "$out" "${receive_streams[@]}" \
  >"$ports" &
receiver=$!

# The receiver prints its ports when it listens.
for ((i = 0; i < 100; ++i)); do
  if (($(wc -l <"$ports") == ${#receive_streams[@]} / 2)); then break; fi
  if ! kill -0 "$receiver" 2>/dev/null; then break; fi
  sleep 0.1
done
if (($(wc -l <"$ports") != ${#receive_streams[@]} / 2)); then
  echo "The receiver did not start" >&2
  exit 1
fi
send_streams=()
while read -r stream; do send_streams+=(--stream "$stream"); done <"$ports"

"$play" send --quiet --host "$host" --provider "$provider" --seconds "$seconds" "${fast[@]}" \
  --report "$out" "${send_streams[@]}" "$file" &
sender=$!

# `wait` returns early when a signal comes: wait until the process really has ended.
result_of() {
  local code=0
  while
    code=0
    wait "$1" || code=$?
    kill -0 "$1" 2>/dev/null
  do :; done
  return "$code"
}
if ! result_of "$sender"; then
  echo "FAIL  the sender ended with an error" >&2
  exit 1
fi
if ! result_of "$receiver"; then
  echo "FAIL  the receiver ended with an error" >&2
  exit 1
fi

verdict=0
"$play" report --report "$out" || verdict=$?
for picture in first last; do
  if [[ -f $out/$picture-frame.png ]]; then echo "$picture frame received: $out/$picture-frame.png"; fi
done
echo "lists of all buffers, to compare by hand: $out/{sent,received}-*.txt"
exit "$verdict"

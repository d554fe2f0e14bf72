#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs all tests in every configuration that matters. Each part
# has a build directory of its own, ./build-*, which stays for the next time. The last line says how
# many tests passed.
set -uo pipefail # not -e: what fails is counted, and the rest runs
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

usage() {
  cat <<END
usage: tests/run.sh [options]
  --quick      only the plain build with all its suites, unless parts are named; fuzzing is brief
  --part NAME  only this part; may be given several times: ${all_parts[*]}
END
}

# A test may take this much longer than its own limit says, where a sanitizer slows it down.
asan_patience=5
tsan_patience=10
# Tests wait more than they work.
processes=$(($(nproc) + 1))

all_parts=(plain hidden vm format asan tsan fuzz no-ofi demo tidy)
default_parts=(plain hidden vm format asan tsan fuzz no-ofi demo) # tidy is a report that fails nothing
parts=()
fuzz_seconds=20 # for each target
results=()  # a line a part, for the end
failures=() # lines about each program that failed, for the end
launcher=() # what starts meson test, where it matters
passed=0 failed=0 skipped=0

while (($# > 0)); do
  case $1 in
    --quick) default_parts=(plain) fuzz_seconds=5 ;;
    --part)
      if [[ " ${all_parts[*]} " != *" ${2:-} "* || -z ${2:-} ]]; then
        echo "--part is one of: ${all_parts[*]}" >&2
        exit 2
      fi
      parts+=("$2")
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
  shift
done
((${#parts[@]} > 0)) || parts=("${default_parts[@]}")

headline() { printf '\n==== %s ====\n' "$*"; }

# add PART PASSED FAILED SKIPPED
add() {
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  results+=("$(printf '%-8s %5d passed, %d failed, %d skipped' "$@")")
}

# check PART COMMAND...: something that passes or fails as a whole
check() {
  local part=$1
  shift
  if "$@"; then add "$part" 1 0 0; else add "$part" 0 1 0; fi
}

# configure DIRECTORY OPTION...: in a fresh directory, or with new options in an old one
configure() {
  local directory=$1
  shift
  # Line numbers are all that a report needs, and take a third off the time to compile.
  set -- -Dtests=enabled -Dwerror=true -Dcpp_args="-g1 ${cpp_args:-}" "$@"
  if [[ -f $directory/build.ninja ]]; then
    meson configure "$directory" "$@" # the files are looked at by ninja
  else
    meson setup "$directory" "$@"
  fi
}

# run_suites PART DIRECTORY MESON-TEST-OPTION...
run_suites() {
  local part=$1 directory=$2
  shift 2
  local log=$directory/meson-logs/testlog.json counts details code=0
  rm -f "$log"
  "${launcher[@]}" meson test -C "$directory" --no-rebuild --print-errorlogs \
    --num-processes "$processes" "$@" || code=$?
  if [[ -f $log ]] && { read -ra counts && mapfile -t details; } < <(python3 tests/count.py "$log"); then
    failures+=("${details[@]/#/$part: }")
    # What meson calls a failure is one, whatever the output says.
    if ((code != 0 && counts[1] == 0)); then counts[1]=1; fi
    add "$part" "${counts[@]}"
  else
    add "$part" 0 1 0
  fi
}

# build DIRECTORY: with the options that it is there for
build() {
  local options=(-Dofi=enabled -Dverbs=enabled) target=all
  case $1 in
    build-plain) ;;
    # Clang's, too: GCC takes four times as long to compile with the same sanitizers.
    build-asan) options+=('-Db_sanitize=address,undefined' -Db_lundef=false) ;;
    build-tsan)
      options+=(-Dplugin=disabled -Dtools=disabled -Dbenchmarks=disabled -Db_sanitize=thread
        -Db_lundef=false)
      ;;
    build-fuzz)
      options=(-Dofi=disabled -Dtools=disabled '-Db_sanitize=address,undefined' -Db_lundef=false)
      target=fuzz
      ;;
    # What a host without libfabric and rdma-core has.
    build-no-ofi) options=(-Dofi=disabled -Dverbs=disabled) ;;
  esac
  case $1 in
    build-asan) local -x CC=clang-14 CXX=clang++-14 ;;
    build-fuzz) local -x CC=clang-14 CXX=clang++-14 cpp_args=-fsanitize=fuzzer-no-link ;;
  esac
  configure "$1" "${options[@]}" && ninja -C "$1" "$target"
}

# build_and_test PART DIRECTORY [MESON-TEST-OPTION...]
build_and_test() {
  local part=$1 directory=$2
  shift 2
  if build "$directory"; then
    run_suites "$part" "$directory" "$@"
  else
    echo "FAIL: the part $part does not build" >&2
    add "$part" 0 1 0
  fi
}

part_plain() { build_and_test plain build-plain --no-suite vm; }

# RDMA devices made of software in a guest, one boot after the other. The emulation keeps one core
# busy; what the others have left builds the parts that follow.
part_vm() {
  build_ahead >/dev/null 2>&1 &
  build_and_test vm build-plain --suite vm
  wait $!
}
# What fails here fails again in its own part, which says so.
build_ahead() {
  chrt --idle --pid 0 "$BASHPID" || return # beside the guest, which has deadlines, or not at all
  local part
  for part in "${parts[@]}"; do
    case $part in asan | tsan | fuzz | no-ofi) build "build-$part" || return ;; esac
  done
}

part_format() { check format is_formatted; }
is_formatted() { find src gst tests pipelines -name '*.[ch]pp' -exec clang-format-14 --dry-run -Werror {} +; }

# A report that fails nothing: some of its findings are matters of taste, and they change with its
# version.
part_tidy() {
  local report=build-asan/clang-tidy.txt
  [[ -f build-asan/compile_commands.json ]] || build build-asan
  run-clang-tidy-14 -p build-asan -quiet -header-filter='/\.\./(src|gst)/' \
    "$PWD/(src|gst)/.*\.cpp$" 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' >"$report"
  # A header is reported for each file that includes it.
  grep -E '^/.*: (warning|error): ' "$report" | sort -u | grep -oE '\[[a-z.,-]+\]$' | sort | uniq -c
  results+=("$(printf '%-8s %5d findings, which fail nothing; see %s' tidy \
    "$(grep -E '^/.*: (warning|error): ' "$report" | sort -u | wc -l)" "$report")")
}

part_asan() {
  # The fast unwinder stops at the first frame of GLib, and nobody would know whose leak it is.
  export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
  ASAN_OPTIONS+=:fast_unwind_on_malloc=0:malloc_context_size=15
  # Where the thread-local memory of a plugin begins is guessed by its address; where clang 14
  # guesses wrong, LeakSanitizer crashes at exit (ScanRangeForPointers).
  ASAN_OPTIONS+=:intercept_tls_get_addr=0
  export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
  export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  # The plugin scanner is a program without the sanitizer, and cannot load a plugin with it.
  export GST_REGISTRY_FORK=no
  # The elements know no provider: one of each kind will do here.
  build_and_test asan build-asan --suite engine --suite elements --suite tools \
    --no-suite other-providers --timeout-multiplier "$asan_patience"
  unset ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS GST_REGISTRY_FORK
}

part_tsan() {
  export TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp:halt_on_error=0:second_deadlock_stack=1:intercept_tls_get_addr=0
  # intercept_tls_get_addr=0: the runtime of GCC 12 takes 16 bytes before a block of thread-local
  # storage 16 bytes into a page for a header of glibc 2.19, clears what they point to, and dies
  # (SEGV in MemoryRangeSet) where that is code. Such a block comes from malloc(), which it sees.
  # The runtime of GCC 12 knows the address layout of older kernels only: "unexpected memory
  # mapping". Without randomised addresses it finds its place.
  if setarch -R true 2>/dev/null; then launcher=(setarch -R); fi
  build_and_test tsan build-tsan --suite engine --timeout-multiplier "$tsan_patience"
  unset TSAN_OPTIONS
  launcher=()
}

# Every program of tests/fuzz, from its seeds on; what it found before stays in its corpus.
part_fuzz() {
  if ! build build-fuzz; then
    echo "FAIL: the part fuzz does not build" >&2
    add fuzz 0 1 0
    return
  fi
  local target logs
  local -A running=()
  logs=$(mktemp -d)
  for target in build-fuzz/tests/fuzz/*_fuzz; do
    finds_nothing "$target" >"$logs/${target##*/}" 2>&1 &
    running[$target]=$!
  done
  for target in "${!running[@]}"; do
    check fuzz wait "${running[$target]}"
    cat "$logs/${target##*/}"
  done
  rm -rf "$logs"
}
finds_nothing() {
  local work
  work=build-fuzz/found/$(basename "$1" _fuzz)
  mkdir -p "$work/corpus" "$work/seeds"
  "${1%_fuzz}_seeds" "$work/seeds" || return
  # GLib's own allocator would hide what is read beside a block.
  G_SLICE=always-malloc UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    "$1" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="$work/" "$work/corpus" "$work/seeds"
}

part_no-ofi() { build_and_test no-ofi build-no-ofi; }

# A build with everything on a host without libfabric and rdma-core: the loader finds empty files
# where those would be.
part_hidden() {
  local folder=$PWD/build-plain/hidden library
  mkdir -p "$folder"
  for library in libfabric.so.1 libibverbs.so.1 librdmacm.so.1; do : >"$folder/$library"; done
  launcher=(env LD_LIBRARY_PATH="$folder")
  build_and_test hidden build-plain --suite no-libraries
  launcher=()
}

# The first command of README, shortened: two processes, a real file, every buffer compared.
part_demo() {
  GRAINFABRIC_BUILD=$PWD/build-plain check demo ./pipelines/demo.sh --fast --seconds 3 \
    --out build-plain/demo
}

./pipelines/install-packages.sh --tests || exit 1
# What two parts compile alike is compiled once.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# What the tests load is what was built here, not what is installed.
unset GST_PLUGIN_PATH GST_PLUGIN_SYSTEM_PATH GRAINFABRIC_MODULE_PATH

for part in "${parts[@]}"; do
  headline "$part"
  begun=$SECONDS
  "part_$part"
  results[-1]+="  ($((SECONDS - begun)) s)"
done

((${#failures[@]} == 0)) || { headline failed && printf '%s\n' "${failures[@]}"; }
headline results
printf '%s\n' "${results[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))

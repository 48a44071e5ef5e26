#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Weakens each memory order of lockfree/ once, by a step, and each fence, and expects one of its interleaving tests
# to fail: mutate.sh [NAME...]. CC and CXX, CXXFLAGS are honoured, JOBS (default: processors). Lines that live are
# printed; the last line is "N mutants, N caught". Takes a minute or two; not under sanitizers.
set -u
if [ -n "${SAN-}" ]; then
  echo "mutations are for the plain build"
  exit 77
fi
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
CXX=${CXX:-g++}
CC=${CC:-gcc}
JOBS=${JOBS:-$(nproc)}

# Structure, its tests, and the files of lockfree/ whose orders are weakened.
structures='
mpmc_queue     test_mpmc_queue.cc     index_ring.hh mpmc_queue.hh
event_count    test_event_count.cc    event_count.hh
index_fifo     test_index_fifo.cc     index_fifo.hh
slot_table     test_slot_table_interleaved.cc  slot_table.hh
take_all_list  test_take_all_list.cc  take_all_list.c
free_list      test_free_list.cc      free_list.c
byte_stream    test_byte_stream.cc+test_byte_stream_owner.cc  byte_stream.hh stream_chunk.hh chunk_writing.hh
owned_chunk    test_byte_stream_owner.cc  owned_chunk.hh
call_ends      test_call_ends_interleaved.cc  call_ends.hh
'

work=$(mktemp -d "${TMPDIR:-/tmp}/efio-mutants.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# sites FILE: prints "line occurrence weaker" of every order outside of comments; weaker "-" takes a fence away.
sites() {
  awk '
    { code = $0; sub(/\/\/.*/, "", code); sub(/\/\*.*/, "", code)
      n = 0; rest = code
      while (match(rest, /memory_order_[a-z_]+/)) {
        order = substr(rest, RSTART + 13, RLENGTH - 13); ++n
        if (order == "seq_cst") print FNR, n, "acq_rel"
        if (order == "acq_rel") { print FNR, n, "acquire"; print FNR, n, "release" }
        if (order == "acquire" || order == "release") print FNR, n, "relaxed"
        rest = substr(rest, RSTART + RLENGTH)
      }
      if (code ~ /ck_pr_fence_[a-z]+\(\)/) print FNR, 1, "-"
    }' "$1"
}

# weaken FILE LINE OCCURRENCE WEAKER: the file with that one site changed.
weaken() {
  awk -v line="$2" -v nth="$3" -v to="$4" '
    FNR != line { print; next }
    to == "-" { sub(/ck_pr_fence_[a-z]+\(\)/, "(void)0"); print; next }
    { out = ""; rest = $0; n = 0
      while (match(rest, /memory_order_[a-z_]+/)) {
        word = substr(rest, RSTART, RLENGTH)
        if (++n == nth) word = "memory_order_" to
        out = out substr(rest, 1, RSTART - 1) word
        rest = substr(rest, RSTART + RLENGTH)
      }
      print out rest }' "$1"
}

# build DIRECTORY TEST: a test against the lockfree/ in that directory.
build() {
  for c in "$1"/lockfree/*.c; do
    $CC -std=c11 -O1 -w -I"$1/lockfree" -c "$c" -o "${c%.c}.o" || return 1
  done
  # shellcheck disable=SC2086 # CXXFLAGS is a list
  $CXX -std=c++20 -fno-exceptions -fno-rtti -O1 -w -D_GNU_SOURCE ${CXXFLAGS-} -I"$1/lockfree" \
    -I"$top/include" -I"$top/src" -I"$top/tests" "$top/tests/$2" "$1"/lockfree/*.o -o "$1/test" -lcmocka -lpthread
}

# run DIRECTORY TEST: the verdict on it.
run() {
  if ! build "$1" "$2" >"$1/log" 2>&1; then
    echo "DOES NOT COMPILE"
    return
  fi
  EF_MUTANT=1 timeout 120 "$1/test" >"$1/log" 2>&1
  case $? in 0) echo LIVES ;; 124) echo "LIVES (no end)" ;; *) echo caught ;; esac
}

# try NUMBER TESTS FILE LINE OCCURRENCE WEAKER: writes the verdict to a file of its own.
try() {
  dir=$work/$1
  mkdir -p "$dir" && cp -r "$top/lockfree" "$dir/"
  weaken "$top/lockfree/$3" "$4" "$5" "$6" >"$dir/lockfree/$3"
  for t in $(echo "$2" | tr + ' '); do
    verdict=$(run "$dir" "$t")
    [ "$verdict" = LIVES ] || break
  done
  echo "$verdict: $3:$4 ($5) -> $6: $(sed -n "$4p" "$top/lockfree/$3" | sed 's/^ *//')" >"$work/verdict.$1"
  [ -z "${EF_VERBOSE-}" ] || cp "$dir/log" "$EF_VERBOSE/$3.$4.$5.$6.log"
  rm -rf "$dir"
}

if [ "${1-}" = --try ]; then
  shift
  trap - EXIT
  rm -rf "$work"
  work=$1
  shift
  try "$@"
  exit 0
fi

[ $# -gt 0 ] || set -- $(echo "$structures" | awk 'NF { print $1 }')
for name in "$@"; do
  row=$(echo "$structures" | awk -v n="$name" '$1 == n')
  [ -n "$row" ] || { echo "no structure $name"; exit 1; }
  # shellcheck disable=SC2086
  set -- $row
  test=$2
  shift 2
  for file in "$@"; do
    [ ! -e "$top/lockfree/$file" ] || sites "$top/lockfree/$file" | sed "s/^/$test $file /"
  done
done >"$work/list"
grep ':' "$work/list"
grep -v ':' "$work/list" | awk -v w="$work" '{ print w, NR, $0 }' | xargs -P "$JOBS" -L 1 "$0" --try

all=$(cat "$work"/verdict.* 2>/dev/null | wc -l)
caught=$(cat "$work"/verdict.* 2>/dev/null | grep -c '^caught')
cat "$work"/verdict.* 2>/dev/null | sort -V | if [ -n "${EF_VERBOSE-}" ]; then cat; else grep -v '^caught'; fi
echo "$all mutants, $caught caught"
[ "$all" -gt 0 ] && [ "$all" = "$caught" ]

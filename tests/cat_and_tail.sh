#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/cat_uv and examples/tail_log_ev: what goes in comes out, and trouble is an exit code, not a silence.
set -u
work=$(mktemp -d "${TMPDIR:-$B}/cat.XXXXXX") || exit 1
trap '[ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
cat=$B/examples/cat_uv tail=$B/examples/tail_log_ev
bad=0 ran=0

complain() { echo "FAILED: $*"; bad=1; }
same() { [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'"; }
# libuv closes with bare system calls: ThreadSanitizer takes a number that is used again for the descriptor before.
echo called_from_lib:libuv.so >"$work/suppressions"
export TSAN_OPTIONS="suppressions=$work/suppressions:${TSAN_OPTIONS-}"
cd "$work" || exit 1
head -c 9000000 /dev/urandom >big
echo small >small
: >empty

if [ -x "$cat" ]; then
  ran=1
  timeout 20 "$cat" big small empty big | cmp -s - <(cat big small empty big) || complain 'cat into a pipe'
  timeout 20 "$cat" big >out; same 'cat into a file' 0 $?
  cmp -s big out || complain 'cat into a file: other bytes'
  timeout 20 "$cat" small none small >out 2>err; same 'a missing file' 1 $?
  same 'the others' $'small\nsmall' "$(cat out)"
  grep -q 'none: no such file' err || complain 'a missing file is not told'
  timeout 20 "$cat" '' small '' >out 2>/dev/null; same 'an empty name' '1 small' "$? $(cat out)"
  timeout 20 "$cat" . 2>/dev/null; same 'a directory' 1 $?
  timeout 20 "$cat"; same nothing 0 $?
  timeout 20 "$cat" big 2>/dev/null | head -c 10 >out; same 'a reader that goes away' 1 "${PIPESTATUS[0]}"
  (ulimit -f 100; timeout 20 "$cat" big >out 2>err); same 'a file that may not grow' 1 $?
  for file in small big; do
    [ ! -c /dev/full ] || { timeout 20 "$cat" $file >/dev/full 2>err; same "a full disk, $file" 1 $?; }
  done
fi

shows() {
  for _ in $(seq 200); do [ "$(tail -n 1 shown)" = "$1" ] && return; sleep 0.05; done
  complain "tail does not show $1"
}
if [ -x "$tail" ]; then
  ran=1
  seq 1000 >log
  "$tail" log >shown 2>err &
  shows 1000
  same 'the end comes first' "$(tail -c 1024 log | md5sum)" "$(md5sum <shown)"
  for i in $(seq 200); do echo "line $i" >>log; done
  shows 'line 200'
  same 'added lines' 200 "$(grep -c '^line' shown)"
  sleep 0.2; echo cut >log; shows cut
  if [ -c /dev/full ]; then
    : >pages
    timeout 5 "$tail" pages >/dev/full 2>err & full=$!
    sleep 0.5
    head -c 65536 /dev/zero >>pages # whole pages: nothing stays behind for fflush to fail on
    wait $full; same 'a full disk' 1 $?
  fi
  "$tail" none 2>/dev/null; same 'a missing log' 1 $?
  "$tail" 2>/dev/null; same usage 2 $?
fi
[ $ran = 1 ] || { echo "neither is built"; exit 77; }
exit $bad

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/spdlog_sink, examples/print and examples/logger_ev: every line of every thread is in the file, whole and in
# its thread's order, or was counted as dropped.
set -u
work=$(mktemp -d "${TMPDIR:-$B}/logging.XXXXXX") || exit 1
trap '[ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
sink=$B/examples/spdlog_sink print=$B/examples/print logger=$B/examples/logger_ev
bad=0 ran=0

complain() { echo "FAILED: $*"; bad=1; }
same() { [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'"; }
cd "$work" || exit 1

# What the lines should be. Those of a thread come in their order, so a stable sort by thread must give just this.
dashes() { printf "%*s" "$1" '' | tr ' ' -; }
many=$(dashes 700)
wanted() { # THREADS LINES FLOATS LENGTHS
  awk -v threads="$1" -v lines="$2" -v floats="$3" -v lengths="$4" -v many="$many" 'BEGIN {
    for (t = 0; t < threads; ++t)
      for (i = 0; i < lines; ++i)
        printf "thread %d line %d %s%s>\n", t, i, floats ? sprintf("%.3f ", i / 8) : "", substr(many, 1, i % lengths) }'
}
by_thread() { sort -s -n -k 2,2; }

if [ -x "$print" ]; then
  ran=1
  timeout 100 "$print" lines 4 5000; same 'print' 0 $?
  cmp <(wanted 4 5000 1 700) <(by_thread <lines) || complain 'print: other lines'
  timeout 20 "$print" none/lines 2 10 2>err; same 'print: no directory' 1 $?
  grep -qi 'no such file' err || complain 'print: a missing directory is not told'
  timeout 20 "$print" 2>/dev/null; same 'print: usage' 2 $?
fi

if [ -x "$sink" ]; then
  ran=1
  said=$(timeout 100 "$sink" -w log 4 20000); same 'waiting' '0 0 dropped' "$? $said"
  stamp='^[0-9]{4}(-[0-9]{2}){2} ([0-9]{2}:){2}[0-9]{2}\.[0-9]{3} \[(info|error)\] '
  same 'lines without a time' '' "$(grep -vE "$stamp" log | head -n 3)"
  cmp <(wanted 4 20000 0 60) <(sed -E "s/$stamp//" log | grep -v through | by_thread) || complain 'waiting: other lines'
  same 'each is through' 4 "$(grep -c 'error.*through' log)"

  # Nobody reads until the threads are through: what found no room is counted, the rest is there.
  mkfifo pipe
  (exec 3<>pipe; touch open; while [ ! -e go ]; do sleep 0.01; done; timeout 20 cat <&3 >got & reader=$!
    while [ ! -e over ]; do sleep 0.01; done; sleep 0.5; kill $reader) &
  while [ ! -e open ]; do sleep 0.01; done
  timeout 100 "$sink" pipe 3 10000 >said 2>err & writer=$!
  for _ in $(seq 1000); do grep -q dropped said && break; sleep 0.01; done
  touch go
  wait $writer; same 'dropping' 0 $?
  touch over
  wait
  dropped=$(cut -d' ' -f1 said)
  [ "${dropped:-0}" -gt 0 ] || complain 'nothing was dropped'
  same 'lines and dropped' 30003 $(($(wc -l <got) + dropped))
  same 'torn lines' '' "$(sed -E "s/$stamp//" got | grep -vE '^thread [0-2] (line [0-9]+ -*>|is through)$' | head -n 3)"

  timeout 20 "$sink" none/log 2 10 >/dev/null 2>err; same 'no directory' 1 $?
  grep -qi 'no such file' err || complain 'a missing directory is not told'
  timeout 20 "$sink" 2>/dev/null; same usage 2 $?
fi
# start NAME ARGUMENTS...: sets pid. Its lines go to NAME.out and NAME.err.
start() { "$logger" "${@:2}" >"$1.out" 2>"$1.err" & pid=$!; }
soon() { for _ in $(seq 1000); do eval "$1" && return; sleep 0.01; done; complain "not within ten seconds: $1"; }
# ends WHAT STATUS
ends() { soon "! kill -0 $pid"; kill -9 $pid; wait $pid; same "$1" "$2" $?; } 2>/dev/null
# Whole lines, those of each of the 4 threads counted without a gap.
whole() {
  awk '!/^thread [0-3] line [0-9]+$/ { print "torn: " $0; next } $4 != next_line[$2]++ { print "not in order: " $0 }
    END { for (t = 0; t < 4; ++t) if (!next_line[t]) print "nothing of thread " t }' "$@" | head -n 3
}

if [ -x "$logger" ]; then
  ran=1
  start end renamed 4 0
  soon '[ -e renamed ]'; sleep 0.3
  mv renamed renamed.old; kill -HUP $pid
  soon '[ -e renamed ]'; sleep 0.1
  kill -TERM $pid; ends 'logger: SIGTERM' 0
  same 'logger: lines' '' "$(whole renamed.old renamed)"
  same 'logger: lost' "$(cat renamed.old renamed | wc -c) bytes written, 0 lines dropped" "$(tail -n 1 end.out)"
  [ -s renamed.old ] || complain 'logger: nothing before the renaming'
  same 'logger: complaints' '' "$(cat end.err)"

  ulimit -c 0
  start crash crashed 4 200
  soon 'grep -q accepted crash.out'
  kill -SEGV $pid; ends 'logger: SIGSEGV' 139
  same 'logger: lines before a crash' '' "$(whole crashed)"
  same 'logger: accepted before a crash' 800 "$(wc -l <crashed)"
  start crash busy 4 0 # it writes on while it crashes
  soon '[ -e busy ]'; sleep 0.2
  kill -ABRT $pid; ends 'logger: SIGABRT' 134
  same 'logger: lines while it crashes' '' "$(whole busy)"

  start full /dev/full 2 10
  soon 'grep -qi "no space left" full.err'
  kill -TERM $pid; ends 'logger: full disk' 1
  grep -qi 'bytes lost: no space left' full.err || complain 'logger: lost bytes are not told'
  start none none/log 2 10; ends 'logger: no directory' 1
  grep -qi 'no such file' none.err || complain 'logger: a missing directory is not told'
fi
[ $ran = 1 ] || { echo "none is built"; exit 77; }
exit $bad

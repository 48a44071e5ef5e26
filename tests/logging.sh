#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/spdlog_sink and examples/print: every line of every thread is in the file, whole and in its thread's order,
# or was counted as dropped.
set -u
work=$(mktemp -d "${TMPDIR:-$B}/logging.XXXXXX") || exit 1
trap '[ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
sink=$B/examples/spdlog_sink print=$B/examples/print
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
[ $ran = 1 ] || { echo "neither is built"; exit 77; }
exit $bad

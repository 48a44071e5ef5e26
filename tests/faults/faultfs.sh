#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# faultfs itself: what its control file says happens, to that operation of that file, so often, and to nothing else.
set -eu
. "${0%/*}/lib.sh"

same() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }
works() { "$@" 2>/dev/null && echo yes || echo no; }
put() { echo "$2" 2>/dev/null >"$at/f/$1"; }

fault_fs f --direct
same 'a write' yes "$(works put a hello)"
same 'what was written' hello "$(cat "$at/f.back/a")"
same 'a command that is none' no "$(works put .ctl bogus)"
same 'a setting that is none' no "$(works put .ctl 'write errno=EWHAT')"

rule f 'write errno=EIO skip=1 count=1 name=a*'
same 'another file' yes "$(works put b x)"
same 'the one let through, the one hit, the next' 'yes no yes' "$(works put a 1) $(works put a 2) $(works put a 3)"
same hits 1 "$(counted f write hits)"
rule f 'open errno=ENOSPC'
same 'an open' no "$(works put a x)"
rule f heal
same 'an open after healing' yes "$(works put a x)"

rule f 'write length_max=3'
calls=$(counted f write calls)
same 'shortened writes' yes "$(works dd if=/dev/zero of="$at/f/zeros" bs=30 count=1)"
same 'calls it took' 10 $(($(counted f write calls) - calls))
same 'their length' 30 "$(stat -c %s "$at/f.back/zeros")"
rule f heal

rule f 'fsync delay_ms=300'
before=$(date +%s%N)
same 'a slow sync' yes "$(works sync "$at/f/a")"
[ $(($(date +%s%N) - before)) -ge 300000000 ] || fail "a delay is none"

rule f 'write hang name=h'
put h late &
tries=200
until [ "$(counted f write hanging)" = 1 ]; do
  [ $((tries -= 1)) -gt 0 ] || fail "nothing hangs"
  sleep 0.02
done
same 'another file meanwhile' yes "$(works put b x)"
mv "$at/f/b" "$at/f/c" && rm "$at/f/c" || fail "names cannot be changed meanwhile"
same 'what hangs' '' "$(cat "$at/f.back/h")"
rule f heal
wait $!
same 'what hung' late "$(cat "$at/f.back/h")"

kill -KILL "$fault_pid"
same 'a write when it is gone' no "$(works put a x)"
echo "faultfs does as it is told"

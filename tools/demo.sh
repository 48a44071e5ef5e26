#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The demo: httpd_ev serves a large cold file while another client hammers small hot ones, upload_uv stores what it is
# sent. Checks every byte and the access log, tells what it measured, ends by itself. S and B are sources and build.
set -u
B=${B:-build}
mib=${EFIO_DEMO_MIB:-256}
hot=100
for program in httpd_ev hammer_ev upload_uv; do
  [ -x "$B/examples/$program" ] && continue
  echo "demo: $B/examples/$program is not built; it needs libev and libuv (make setup)" >&2
  exit 1
done
command -v curl >/dev/null || { echo "demo: curl is needed" >&2; exit 1; }
work=$(mktemp -d "$B/demo.XXXXXX") || exit 1
end() {
  trap - EXIT INT TERM
  # shellcheck disable=SC2046 # a list of numbers
  [ -z "$(jobs -p)" ] || kill -9 $(jobs -p) 2>/dev/null
  rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
good=0 wrong=0
requests=0 # made to httpd_ev

say() { printf '%s\n' "$*"; }
# right WHAT COMMAND...: counts and tells
right() {
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then
    good=$((good + 1)) && say "  right   $what"
  else
    wrong=$((wrong + 1)) && say "  WRONG   $what"
  fi
}
sum() { sha256sum "$1" | cut -d' ' -f1; }
same_file() { [ "$(sum "$1")" = "$(sum "$2")" ]; }
seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b - a) / 1e9 }'; }
free_mib() { stat -f -c '%a %S' "$work" | awk '{ printf "%d", $1 * $2 / 1048576 }'; }
memory_of() { awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$1/status" 2>/dev/null || echo some; }
# start PROGRAM OPTIONS...: sets pid and port
start() {
  local out=$work/$1.out
  "$B/examples/$1" "${@:2}" >"$out" 2>&1 &
  pid=$!
  for _ in $(seq 200); do
    port=$(sed -n 's/.*listening.*port //p' "$out")
    [ -n "$port" ] && return
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  say "demo: $1 does not start:"; cat "$out"; exit 1
}
# stop PID: its exit code; by force if it does not go
stop() {
  kill -TERM "$1"
  for _ in $(seq 200); do kill -0 "$1" 2>/dev/null || break; sleep 0.05; done
  kill -9 "$1" 2>/dev/null
  wait "$1"
}
# Out of the page cache: this file; if that was of no use and we may, all files.
make_cold() {
  dd of="$1" oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null
  [ "$(cached "$1")" = "0 KiB" ] || [ ! -w /proc/sys/vm/drop_caches ] ||
    { echo 1 >/proc/sys/vm/drop_caches; } 2>/dev/null
}
cached() { command -v fincore >/dev/null && fincore -nbo RES "$1" 2>/dev/null | awk '{ print int($1 / 1024) " KiB" }'; }
# fetch STATUS PATH FILE [CURL OPTIONS]: true if that is the status
fetch() {
  requests=$((requests + 1))
  status=$(curl -s -m 60 -o "$3" -w '%{http_code}' "${@:4}" "http://127.0.0.1:$web$2")
  [ "$status" = "$1" ]
}

# ---- The tree

[ "$(free_mib)" -gt $((mib * 3)) ] || { echo "demo: $((mib * 3)) MiB of disk are needed below $B" >&2; exit 1; }
mkdir -p "$work/root/hot" "$work/store"
root=$work/root
cold=$root/cold.bin
say "A tree: one cold file of $mib MiB, $hot hot files of 1 to 64 KiB, all of random bytes."
head -c $((mib * 1024 * 1024)) /dev/urandom >"$cold"
for i in $(seq "$hot"); do head -c $((1024 + (i * 7919) % 64512)) /dev/urandom >"$root/hot/$(printf %03d "$i")"; done
cold_sum=$(sum "$cold")
make_cold "$cold"
resident=$(cached "$cold")
say "Of the cold file ${resident:-an unknown part} is in the page cache," \
  "on $(df --output=fstype "$work" | tail -1)."

# ---- httpd_ev: cold and hot at the same time

start httpd_ev -m -p 0 -r "$root" -l "$work/access.log"
web=$port httpd=$pid
say "httpd_ev listens on port $web. One client fetches the cold file, another hammers the hot ones:"
"$B/examples/hammer_ev" -p "$web" -d "$root/hot" -u /hot -c 4 -s 30 >"$work/hammer" 2>"$work/hammer.err" &
hammer=$!
sleep 0.5 # the hammer is at work first
began=$(date +%s%N)
fetch 200 /cold.bin "$work/cold.fetched"
ended=$(date +%s%N)
cold_status=$status
sleep 0.5
kill -TERM $hammer
wait $hammer
hammer_code=$?
value() { sed -n "s/^$1 //p" "$work/hammer"; }
took=$(seconds "$began" "$ended")
say "  cold    $mib MiB in $took s; the server's memory never exceeded $(memory_of "$httpd") MiB"
say "  hot     $(value requests) requests, median $(value median_us) us, 99 % under $(value p99_us) us," \
  "slowest $(value slowest_us) us"
[ $hammer_code = 0 ] || head -n 3 "$work/hammer.err"
requests=$((requests + $(value requests)))
right "the cold file, by its SHA-256" [ "$cold_status $(sum "$work/cold.fetched")" = "200 $cold_sum" ]
right "each hot file, byte by byte, each time" [ $hammer_code = 0 ]

# ---- httpd_ev: other answers

middle=$((mib * 512 * 1024)) part=$work/part
fetch 206 /cold.bin "$part" -r $middle-$((middle + 99999))
tail -c +$((middle + 1)) "$cold" | head -c 100000 >"$part.wanted"
right "a range of the cold file (206)" eval '[ "$status" = 206 ] && same_file "$part" "$part.wanted"'
fetch 416 /cold.bin "$part" -r $((mib * 1024 * 1024))-
right "a range behind its end (416)" [ "$status" = 416 ]
fetch 404 /none "$part"
right "a file that is not there (404)" [ "$status" = 404 ]
fetch 400 /../../../../etc/passwd "$part" --path-as-is
right "a path that climbs out (400)" [ "$status" = 400 ]
ln -s /etc/passwd "$root/link"
fetch 403 /link "$part"
right "a link that leads out (403)" [ "$status" = 403 ]

# ---- upload_uv

start upload_uv -p 0 -r "$work/store"
uploads=$port
upload=$pid
say "upload_uv listens on port $uploads. The cold file is sent to it, and 20 hot ones at the same time:"
url=http://127.0.0.1:$uploads
began=$(date +%s%N)
clients=
curl -s -m 60 -o /dev/null -w '%{http_code}\n' -T "$work/cold.fetched" "$url/cold.bin" >"$work/status" & clients=$!
for i in $(seq -f %03g 20); do
  curl -s -m 60 -o /dev/null -w '%{http_code}\n' -T "$root/hot/$i" "$url/$i" >"$work/status.$i" & clients="$clients $!"
done
# shellcheck disable=SC2086
wait $clients
ended=$(date +%s%N)
say "  stored  $mib MiB and 20 files, durable, in $(seconds "$began" "$ended") s;" \
  "the server's memory never exceeded $(memory_of "$upload") MiB"
right "each was created (201)" [ "$(sort -u "$work/status" "$work"/status.*)" = 201 ]
right "the large upload, by its SHA-256" [ "$(sum "$work/store/cold.bin")" = "$cold_sum" ]
all_stored() { for i in $(seq -f %03g 20); do cmp -s "$root/hot/$i" "$work/store/$i" || return 1; done; }
right "the small ones, byte by byte" all_stored
right "upload_uv ends cleanly" stop "$upload"

# ---- The end of httpd_ev, and its log

right "httpd_ev ends cleanly" stop "$httpd"
lines=$(wc -l <"$work/access.log")
say "  log     $lines lines for $requests requests; written by ef_write, fire and forget"
right "the access log has one line for each request" [ "$lines" = "$requests" ]
right "no line was dropped" grep -q "access log lines $lines, dropped 0" "$work/httpd_ev.out"
sed -n '2,$p' "$work/httpd_ev.out" "$work/upload_uv.out" | grep -v listening | sed 's/^/  /'
if [ $wrong -gt 0 ]; then
  say "$wrong checks of $((good + wrong)) were WRONG."
  exit 1
fi
say "All $good checks were right, in $SECONDS s."

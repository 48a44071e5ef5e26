#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/upload_uv: bodies of every form arrive whole, bad ones leave no trace, a full disk is told, the end is clean.
set -u
server=$B/examples/upload_uv
[ -x "$server" ] || { echo "upload_uv is not built: no libuv"; exit 77; }
command -v curl >/dev/null || { echo "no curl"; exit 77; }
work=$(mktemp -d "${TMPDIR:-$B}/upload.XXXXXX") || exit 1
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
store=$work/store
mkdir "$store"

# libuv closes with bare system calls: ThreadSanitizer takes a number that is used again for the descriptor before.
echo called_from_lib:libuv.so >"$work/suppressions"
export TSAN_OPTIONS="suppressions=$work/suppressions:${TSAN_OPTIONS-}"

# Also for what runs in the background, so it is a file that remembers.
complain() { echo "FAILED: $*"; : >"$work/bad"; }
# same WHAT WANTED GOT
same() { [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'"; }
same_bytes() { cmp -s "$2" "$3" || complain "$1: other bytes"; }

# await SECONDS COMMAND...
await() {
  local left=$(($1 * 20))
  shift
  until "$@"; do ((left-- > 0)) || return 1; sleep 0.05; done
}
listening() { port=$(sed -n 's/.*listening.*port //p' "$work/out"); [ -n "$port" ] || ! kill -0 $pid 2>/dev/null; }
# started COMMAND...: sets pid and port
started() {
  : >"$work/out"
  "$@" >"$work/out" 2>"$work/err" &
  pid=$!
  await 10 listening && [ -n "$port" ]
}
start() { started "$server" -p 0 -r "$store" "$@" || { echo "the server does not start"; cat "$work/err"; exit 1; }; }
gone() { ! kill -0 $pid 2>/dev/null; }
# stop: sets code to the exit code
stop() {
  kill -TERM $pid
  await 15 gone || { complain "the server does not stop"; kill -9 $pid; }
  wait $pid
  code=$?
  pid=
}
alive() { ! gone || { complain "the server is gone after: $1"; head -n 80 "$work/err"; exit 1; }; }
nothing_left() { [ -z "$(find "$store" -name '.*' -type f)" ]; }

# put STATUS FILE PATH [CURL OPTIONS]
put() {
  local wanted=$1 file=$2 path=$3
  shift 3
  same "PUT $path $*" "$wanted" \
    "$(curl -s -m 30 --path-as-is -o /dev/null -w '%{http_code}' -T "$file" "$@" "http://127.0.0.1:$port$path")"
}
# raw REQUEST: in the escapes of printf; what comes back until the server closes is in $work/raw
raw() {
  (trap '' PIPE; exec 3<>"/dev/tcp/127.0.0.1/$port"; printf '%b' "$1" >&3; timeout 10 cat <&3 >"$work/raw") 2>/dev/null
}
raw_statuses() { grep -a -o 'HTTP/1.1 [0-9]* [A-Z]' "$work/raw" | cut -d' ' -f2 | paste -sd' ' | cut -c -1000; }
# answer STATUSES REQUEST
answer() { raw "$2"; same "raw ${2:0:80}" "$1" "$(raw_statuses)"; }
repeated() { head -c "$2" /dev/zero | tr '\0' "$1"; }

head -c 10000000 /dev/urandom >"$work/big"
head -c 777 /dev/urandom >"$work/small"
: >"$work/empty"

bodies() {
  local i
  put 201 "$work/small" /small; same_bytes small "$work/small" "$store/small"
  put 204 "$work/big" /small; same_bytes replaced "$work/big" "$store/small"
  put 201 "$work/empty" /empty; same_bytes empty "$work/empty" "$store/empty"
  put 201 "$work/big" /chunked -H 'Transfer-Encoding: chunked'; same_bytes chunked "$work/big" "$store/chunked"
  put 201 "$work/big" /expected -H 'Expect: 100-continue'; same_bytes expected "$work/big" "$store/expected"
  put 201 "$work/small" /old --http1.0; same_bytes 'HTTP/1.0' "$work/small" "$store/old"
  put 201 "$work/small" '/a%20%C3%BC?x'; same_bytes 'name decoded' "$work/small" "$store/a ü"
  for i in $(seq 24); do put 201 "$work/big" "/many$i" & done
  for i in $(seq 24); do put 201 "$work/small" "/few$i" -H 'Transfer-Encoding: chunked' & done
  await 60 idle_jobs
  for i in $(seq 24); do
    same_bytes "many$i" "$work/big" "$store/many$i"; same_bytes "few$i" "$work/small" "$store/few$i"
  done
}
idle_jobs() { [ "$(jobs -rp | wc -l)" -le 1 ]; }

refusals() {
  local h='Host: x\r\nConnection: close\r\n'
  put 400 "$work/small" /../x; put 400 "$work/small" /%2e%2e%2fx; put 400 "$work/small" /a%00b
  put 400 "$work/small" /%g
  put 403 "$work/small" /.hidden; put 403 "$work/small" /a/b; put 403 "$work/small" /a%2fb; put 403 "$work/small" /%0a
  put 403 "$work/small" "/$(repeated n 201)"; mkdir -p "$store/directory"; put 403 "$work/small" /directory
  put 413 "$work/big" /large -H 'Content-Length: 20000001'
  put 405 "$work/small" /x -X POST; put 405 "$work/small" /x -X GET; put 501 "$work/small" /x -X BREW
  put 417 "$work/small" /x -H 'Expect: a miracle'
  put 201 "$work/big" /whole; put 400 "$work/big" /whole -C 5000000; same_bytes 'a part' "$work/big" "$store/whole"
  answer 403 "PUT / HTTP/1.1\r\n${h}Content-Length: 1\r\n\r\nx"
  answer 411 "PUT /x HTTP/1.1\r\n$h\r\n"
  answer 400 "PUT /x HTTP/1.1\r\n${h}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  answer 501 "PUT /x HTTP/1.1\r\n${h}Transfer-Encoding: gzip\r\n\r\n"
  answer 505 "PUT /x HTTP/3.0\r\n$h\r\n"; answer 400 'nonsense\r\n\r\n'
  answer 413 "PUT /x HTTP/1.1\r\n${h}Content-Length: 99999999999999999999999\r\n\r\n"
  local c="PUT /x HTTP/1.1\r\n${h}Transfer-Encoding: chunked\r\n\r\n"
  answer 400 "${c}g\r\n"; answer 400 "${c}\r\n"; answer 400 "${c}1\nx\r\n0\r\n\r\n"
  answer 400 "${c}1\r\nxy\r\n0\r\n\r\n"
  answer 400 "${c}-1\r\n"; answer 400 "${c}1;$(repeated a 300)\r\n"; answer 413 "${c}fffffffffffffffff\r\n"
  answer 413 "${c}1312d01\r\n$(repeated a 2000)"; answer 431 "${c}0\r\nA: $(repeated a 5000)\r\n\r\n"
  [ ! -e "$store/x" ] || complain 'a refused body was stored'
  await 5 nothing_left || complain 'refused bodies leave traces'
}

connections() {
  local h='HTTP/1.1\r\nHost: x\r\n'
  answer '201 201 204 405' "PUT /q1 ${h}Content-Length: 3\r\n\r\none$(:
    )PUT /q2 ${h}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\ntwo\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n$(:
    )PUT /q1 ${h}Content-Length: 0\r\n\r\nGET /q1 $h\r\n"
  same q1 '' "$(cat "$store/q1")"; same q2 two0123456789 "$(cat "$store/q2")"
  (exec 3<>"/dev/tcp/127.0.0.1/$port"
    text=$'PUT /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n'
    text+=$'4\r\nslow\r\n2\r\nly\r\n0\r\n\r\n'
    for ((i = 0; i < ${#text}; ++i)); do printf %s "${text:i:1}" >&3; done
    timeout 10 cat <&3 >"$work/raw")
  same 'byte by byte' 201 "$(raw_statuses)"; same slow slowly "$(cat "$store/slow")"
  # Clients that go away, and one that does not go on.
  for i in 1 2 3 4 5; do
    timeout 0.3 curl -s --limit-rate 2M -T "$work/big" "http://127.0.0.1:$port/lost$i" >/dev/null
  done
  answer '' 'PUT /idle HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab'
  answer '' 'PUT /idle HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n' # it knows no 100
  for i in $(seq 30); do
    head -c $((i * 311)) /dev/urandom >"$work/noise"
    (trap '' PIPE; exec 3<>"/dev/tcp/127.0.0.1/$port"; cat "$work/noise" >&3) >/dev/null 2>&1
  done
  await 5 nothing_left || complain 'lost uploads leave traces'
  [ -z "$(ls "$store" | grep -E 'lost|idle')" ] || complain 'a part was taken for the whole'
  [ -n "${SAN-}" ] || [ ! -r /proc/$pid/status ] || [ "$(awk '/VmHWM/ { print $2 }' /proc/$pid/status)" -lt 150000 ] ||
    complain 'memory grows with uploads'
}

# Under its name a file is one upload or the other.
replacing() {
  local i
  repeated a 400000 >"$work/a"; repeated b 300000 >"$work/b"
  put 201 "$work/a" /both
  for i in $(seq 20); do put 204 "$work/a" /both; put 204 "$work/b" /both; done & local writer=$!
  while kill -0 $writer 2>/dev/null; do
    # libfuse takes a file that is open out of the way before it renames another one to its name.
    cat "$store/both" >"$work/seen" || [ "$(stat -f -c %T "$store")" != fuseblk ] || continue
    cmp -s "$work/seen" "$work/a" || cmp -s "$work/seen" "$work/b" || complain 'a mixture of uploads'
  done
}

start -t 2 -m 20000000
bodies; alive bodies; refusals; alive refusals; connections; alive connections; replacing
put 201 "$work/small" /last
stop
same 'exit code' 0 $code
grep -q 'upload_uv: .* requests: .* stored' "$work/out" || complain 'no statistics'

# The upload under way is finished, one that takes too long is not waited for.
start
url=http://127.0.0.1:$port/during
curl -s -m 30 --limit-rate 8M -o /dev/null -w '%{http_code}' -T "$work/big" "$url" >"$work/status" &
client=$!
(exec 3<>"/dev/tcp/127.0.0.1/$port"; printf 'PUT /never HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab' >&3
  timeout 20 cat <&3 >/dev/null) &
await 5 eval '[ "$(find "$store" -name ".*" -type f | wc -l)" = 2 ]' || complain 'uploads do not begin'
stop
wait $client
same 'exit code with an upload under way' 0 $code
same 'the upload under way' 201 "$(cat "$work/status")"
same_bytes 'the upload under way' "$work/big" "$store/during"
nothing_left || complain 'the end leaves traces'
[ ! -e "$store/never" ] || complain 'a part was taken for the whole'

# Limits of the system: no descriptors to spare, the greatest file, a full disk.
: >"$work/out"
(ulimit -f 1000; exec "$server" -p 0 -r "$store" >"$work/out" 2>"$work/err") & pid=$!
await 10 listening
put 413 "$work/big" /limited; put 201 "$work/small" /limited
[ "$(ls -A "$store" | grep -c '^\.')" = 0 ] || complain 'a file that grew too large leaves traces'
stop
same 'exit code' 0 $code

if [ -z "${SAN-}" ] && echo 'int uv_fs_rename(void) { return -12; }' >"$work/none.c" &&
  ${CC:-cc} -shared -fPIC -o "$work/none.so" "$work/none.c"; then
  started env LD_PRELOAD="$work/none.so" "$server" -p 0 -r "$store" || complain 'no start without memory'
  put 503 "$work/small" /forgotten -m 5
  stop
  same 'exit code without memory' 0 $code
  nothing_left || complain 'without memory a trace is left'
fi

full=$work/full
mkdir "$full"
as_root=-r
[ "$(id -u)" != 0 ] || as_root=
mounted='mount -t tmpfs -o size=4m none "$1" && exec "$2" -p 0 -r "$1"'
if started unshare $as_root -m sh -c "$mounted" sh "$full" "$server"; then
  put 507 "$work/big" /full; put 507 "$work/big" /full -H 'Transfer-Encoding: chunked'; put 201 "$work/small" /fits
  same 'after a full disk' fits "$(ls -A "/proc/$pid/root$full" 2>/dev/null || echo fits)"
  stop
  same 'exit code' 0 $code
else
  pid=
  echo "no mount of a small disk here: a full disk is not tried"
fi
"$server" -h >/dev/null; same -h 0 $?
"$server" -x 2>/dev/null; same 'unknown option' 2 $?
for seconds in 0 -1 nan 1e30 x; do timeout 5 "$server" -p 0 -t $seconds >/dev/null 2>&1; same "-t $seconds" 2 $?; done
"$server" -r "$work/none" 2>/dev/null; same 'no directory' 1 $?
[ ! -e "$work/bad" ] || exit 1
echo "upload_uv stores as it should"

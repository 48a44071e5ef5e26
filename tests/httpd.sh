#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/httpd_ev against good clients, bad clients, hostile ones and a changing tree: every answer, every byte, the
# log, the end.
set -u
server=$B/examples/httpd_ev
[ -x "$server" ] || { echo "httpd_ev is not built: no libev"; exit 77; }
command -v curl >/dev/null || { echo "no curl"; exit 77; }
work=$(mktemp -d "${TMPDIR:-$B}/httpd.XXXXXX") || exit 1
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT

# Also for what runs in the background, so it is a file that remembers.
complain() { echo "FAILED: $*"; : >"$work/bad"; }
# same WHAT WANTED GOT
same() { [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'"; }
same_bytes() { cmp -s "$2" "$3" || complain "$1: other bytes"; }

# start OPTIONS...: sets pid and port
start() {
  : >"$work/out"
  "$server" -p 0 -r "$work/root" -l "$work/log" "$@" >"$work/out" 2>"$work/err" &
  pid=$!
  for _ in $(seq 200); do
    port=$(sed -n 's/.*listening.*port //p' "$work/out")
    [ -n "$port" ] && return
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  echo "the server does not start"; cat "$work/err"; exit 1
}
# stop: sets code to the exit code
stop() {
  kill -TERM $pid
  for _ in $(seq 300); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
  kill -9 $pid 2>/dev/null && complain "the server does not stop"
  wait $pid
  code=$?
  pid=
}
alive() { kill -0 $pid 2>/dev/null || { complain "the server is gone after: $1"; cat "$work/err"; exit 1; }; }

fetch() { rm -f "$work/body"; curl -s -m 20 --path-as-is -o "$work/body" -D "$work/head" -w '%{http_code}' "$@"; }
# get STATUS PATH [CURL OPTIONS]
get() {
  local wanted=$1 path=$2
  shift 2
  same "GET $path $*" "$wanted" "$(fetch "$@" "http://127.0.0.1:$port$path")"
}
header() { sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$work/head"; }
# raw REQUEST: in the escapes of printf; what comes back until the server closes is in $work/raw
raw() {
  (trap '' PIPE; exec 3<>"/dev/tcp/127.0.0.1/$port"; printf '%b' "$1" >&3; timeout 10 cat <&3 >"$work/raw") 2>/dev/null
}
raw_statuses() { grep -a -o 'HTTP/1.1 [0-9]* [A-Z]' "$work/raw" | cut -d' ' -f2 | paste -sd' ' | cut -c -1000; }
# answer STATUSES REQUEST
answer() { raw "$2"; same "raw ${2:0:60}" "$1" "$(raw_statuses)"; }
repeated() { head -c "$2" /dev/zero | tr '\0' "$1"; }

mkdir -p "$work/root/dir/sub" "$work/root/noindex" "$work/outside"
root=$work/root
head -c 5000000 /dev/urandom >"$root/big.bin"
echo '<p>start</p>' >"$root/index.html"
echo 'sub' >"$root/dir/index.html"
echo 'a b' >"$root/a b.txt"
echo 'percent' >"$root/100%.css"
: >"$root/empty"
head -c 100 /dev/urandom >"$root/small"
echo secret >"$work/outside/secret"
ln -s ../outside/secret "$root/escape"
ln -s ../outside "$root/escape_dir"
ln -s "$root/index.html" "$root/absolute"
ln -s ../index.html "$root/dir/inside"
ln -s loop "$root/loop"
ln -s nowhere "$root/dangling"
mkfifo "$root/fifo"
touch -d '2020-02-02 02:02:02 UTC' "$root/small"

answers() {
  get 200 /; same_bytes / "$root/index.html" "$work/body"; same type 'text/html; charset=utf-8' "$(header content-type)"
  get 200 /big.bin; same_bytes big "$root/big.bin" "$work/body"; same length 5000000 "$(header content-length)"
  get 200 /empty; same 'empty length' 0 "$(header content-length)"
  get 200 /a%20b.txt; same_bytes space "$root/a b.txt" "$work/body"
  get 200 /100%25.css; same css 'text/css; charset=utf-8' "$(header content-type)"
  get 200 '/dir/?x=1'; same_bytes index "$root/dir/index.html" "$work/body"
  get 301 '/dir?x=1'; same location '/dir/?x=1' "$(header location)"
  get 301 //dir; same 'no other host' /dir/ "$(header location)"
  get 404 /none; get 404 /noindex/; get 404 /index.html/; get 404 /dir/none; get 404 "/$(repeated n 300)"
  get 404 /dangling
  get 200 /dir/../index.html; get 200 /./dir//.//sub/../; get 200 /dir/inside
  get 400 /..; get 400 /../outside/secret; get 400 /dir/../../outside/secret; get 400 /%2e%2e/outside/secret
  get 400 /..%2foutside%2fsecret; get 400 /%2e%2e%2foutside/secret; get 400 /index.html%00; get 400 /%; get 400 /%4
  get 400 /%zz; get 400 '/a\b'; get 400 '/a|b'
  get 403 /escape; get 403 /escape_dir; get 403 /escape_dir/; get 403 /escape_dir/secret; get 403 /absolute
  get 403 /loop; get 403 /fifo
  get 405 / -X POST -d x; same allow 'GET, HEAD' "$(header allow)"
  get 405 / -X DELETE; get 405 / -X OPTIONS; get 501 / -X BREW
  same HEAD 200 "$(fetch -I "http://127.0.0.1:$port/big.bin")"
  same 'HEAD length' 5000000 "$(header content-length)"
}

ranges() {
  local size=5000000 range
  for range in 0-0 0-9 4096-8191 65535-65536 4999999-4999999 4999999- 100000- 0-9999999; do
    get 206 /big.bin -r $range
    local first=${range%-*} last=${range#*-}
    [ -n "$last" ] && [ "$last" -lt $size ] || last=$((size - 1))
    same "range $range" "bytes $first-$last/$size" "$(header content-range)"
    tail -c +$((first + 1)) "$root/big.bin" | head -c $((last - first + 1)) >"$work/part"
    same_bytes "range $range" "$work/part" "$work/body"
  done
  get 206 /big.bin -r -100; tail -c 100 "$root/big.bin" >"$work/part"; same_bytes suffix "$work/part" "$work/body"
  get 206 /big.bin -r -9000000; same_bytes 'long suffix' "$root/big.bin" "$work/body"
  get 416 /big.bin -r 5000000-; same 'unsatisfied' 'bytes */5000000' "$(header content-range)"
  get 416 /big.bin -r 99999999999999999999999-; get 416 /big.bin -r -0; get 416 /empty -r 0-
  get 200 /big.bin -H 'Range: bytes=5-2'; get 200 /big.bin -H 'Range: bytes=a-b'; get 200 /big.bin -H 'Range: lines=1-2'
  get 200 /big.bin -H 'Range: bytes=0-1,5-6'; get 200 /big.bin -H 'Range: bytes=-'
  get 206 /big.bin -r 0-99999999999999999999
  local modified='Sun, 02 Feb 2020 02:02:02 GMT'
  get 200 /small; same modified "$modified" "$(header last-modified)"
  get 304 /small -H "If-Modified-Since: $modified"; same 'no body' 0 "$(wc -c 2>/dev/null <"$work/body" || echo 0)"
  get 304 /small -H 'If-Modified-Since: Sunday, 02-Feb-20 02:02:03 GMT'
  get 304 /small -H 'If-Modified-Since: Sun Feb  2 02:02:03 2020'
  get 200 /small -H 'If-Modified-Since: Sun, 02 Feb 2020 02:02:01 GMT'; get 200 /small -H 'If-Modified-Since: soon'
  get 206 /small -r 0-1 -H "If-Range: $modified"; get 200 /small -r 0-1 -H 'If-Range: Sun, 02 Feb 2020 02:02:01 GMT'
  get 200 /small -r 0-1 -H 'If-Range: "tag"'
}

hostile() {
  local h='Host: x\r\nConnection: close\r\n'
  answer 200 "GET / HTTP/1.1\r\n$h\r\n"
  answer 200 "\r\n\r\nGET http://elsewhere/?q HTTP/1.1\r\n$h\r\n"
  answer 200 'GET / HTTP/1.0\r\n\r\n'
  answer 400 'GET /\r\n\r\n'; answer 400 'GET / HTTP/1.1\r\n\r\n'; answer 400 "GET / HTTP/1.1\n$h\r\n"
  answer 400 "GET  / HTTP/1.1\r\n$h\r\n"; answer 400 "GET /a b HTTP/1.1\r\n$h\r\n"
  answer 400 "G(T / HTTP/1.1\r\n$h\r\n"
  answer 400 "GET / HTTP/1.1\r\n$h: empty\r\n\r\n"; answer 400 "GET / HTTP/1.1\r\n${h}Name : x\r\n\r\n"
  answer 400 "GET / HTTP/1.1\r\n$h folded\r\n\r\n"; answer 400 "GET / HTTP/1.1\r\n${h}Host: y\r\n\r\n"
  answer 400 "GET / HTTP/1.1\r\n${h}A: b\0001\r\n\r\n"; answer 400 "GET / HTTP/1.1\r\n${h}A: b\rc\r\n\r\n"
  answer 400 "GET / HTTP/1.1\r\n${h}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"
  answer 400 "GET / HTTP/1.1\r\n${h}Content-Length: -1\r\n\r\n"
  answer 400 "GET / HTTP/1.1\r\n${h}Content-Length: 1, 1\r\n\r\n"
  answer 400 "GET / HTTP/1.1\r\n${h}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  answer 400 'GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  answer 501 "GET / HTTP/1.1\r\n${h}Transfer-Encoding: gzip, chunked\r\n\r\n"
  answer 400 "GET http:/// HTTP/1.1\r\n$h\r\n"; answer 400 "GET index.html HTTP/1.1\r\n$h\r\n"
  answer 400 "GET * HTTP/1.1\r\n$h\r\n"
  answer 505 "GET / HTTP/2.0\r\n$h\r\n"; answer 505 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  answer 400 "GET / HTTP/11\r\n$h\r\n"
  answer 400 '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n'
  answer 414 "GET /$(repeated a 4096) HTTP/1.1\r\n$h\r\n"; answer 414 "GET /$(repeated a 9000)"
  answer 431 "GET / HTTP/1.1\r\nHost: x\r\nA: $(repeated a 9000)"
  answer 431 "GET / HTTP/1.1\r\n$(for i in $(seq 101); do printf 'A: b\\r\\n'; done)$h\r\n"
  # What follows a body or an error is never taken for a request.
  answer 200 "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
  answer 400 'GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n'
  for i in $(seq 40); do
    head -c $((i * 211)) /dev/urandom >"$work/noise"
    (trap '' PIPE; exec 3<>"/dev/tcp/127.0.0.1/$port"; cat "$work/noise" >&3
      [ $((i % 2)) = 0 ] || timeout 3 cat <&3) >/dev/null 2>&1
  done
  alive noise
}

# One connection, many requests at once; the answers come in order.
pipelining() {
  local requests= i
  local rest='HTTP/1.1\r\nHost: x\r\n\r\n'
  for i in $(seq 60); do requests+="GET /small ${rest}HEAD /dir/ ${rest}GET /none $rest"; done
  raw "${requests}GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
  same pipelining "$(for i in $(seq 60); do echo 200 200 404; done | paste -sd' ') 200" "$(raw_statuses)"
  tail -c 5000000 "$work/raw" >"$work/part"
  same_bytes 'pipelined file' "$root/big.bin" "$work/part"
  # Byte by byte.
  (exec 3<>"/dev/tcp/127.0.0.1/$port"
    text=$'GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    for ((i = 0; i < ${#text}; ++i)); do printf %s "${text:i:1}" >&3; done
    timeout 10 cat <&3 >"$work/raw")
  same 'byte by byte' 200 "$(raw_statuses)"
  tail -c 100 "$work/raw" >"$work/part"; same_bytes 'byte by byte' "$root/small" "$work/part"
  answer '200 200' 'GET /small HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /small HTTP/1.0\r\n\r\n'
}

# Clients that do not go on lose their turn, not the others theirs.
patience() {
  answer 408 'GET / HTT'
  answer '' ''
  local i before=$SECONDS
  for i in $(seq 30); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port"; printf 'GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n' >&3; sleep 3) &
  done
  sleep 0.3
  get 200 /small
  get 200 /big.bin; same_bytes 'beside stalled clients' "$root/big.bin" "$work/body"
  [ -n "${SAN-}" ] || [ ! -r /proc/$pid/status ] || [ "$(awk '/VmRSS/ { print $2 }' /proc/$pid/status)" -lt 100000 ] ||
    complain 'memory grows with stalled clients'
  for i in 1 2 3 4 5 6; do timeout 0.05 curl -s --limit-rate 1M "http://127.0.0.1:$port/big.bin" >/dev/null; done
  jobs -p | grep -vx $pid | while read -r i; do wait "$i" 2>/dev/null; done
  while [ "$(jobs -rp | wc -l)" -gt 1 ]; do sleep 0.1; done
  alive 'stalled clients'
  [ $((SECONDS - before)) -lt 20 ] || complain 'stalled clients take too long'
}

# The tree changes while it is served: a response is one version or an error, never a mixture.
changes() {
  local i stop=$work/stop
  rm -f "$stop"
  repeated a 300000 >"$work/version.a"; repeated b 200000 >"$work/version.b"
  cp "$work/version.a" "$root/changing"
  (while [ ! -e "$stop" ]; do
    for v in a b; do cp "$work/version.$v" "$root/.new"; mv "$root/.new" "$root/changing"; done
  done) &
  local changer=$!
  for i in $(seq 150); do
    case $(fetch "http://127.0.0.1:$port/changing") in
      200) cmp -s "$work/body" "$work/version.a" || cmp -s "$work/body" "$work/version.b" ||
        complain 'a mixture of versions' ;;
      503) ;;
      404) [ "$(stat -f -c %T "$root")" = fuseblk ] || complain 'a replaced file is not found' ;; # see upload.sh
      *) complain 'a replaced file is refused' ;;
    esac
  done
  touch "$stop"; wait $changer
  truncate -s 60M "$root/shrinking"
  curl -s -m 20 --limit-rate 10M "http://127.0.0.1:$port/shrinking" -o "$work/body" & local client=$!
  sleep 0.4; : >"$root/shrinking"
  wait $client
  same 'a file that shrinks ends the connection' 18 $?
  get 200 /small
}

cold() {
  local i
  for i in 1 2 3 4; do head -c 3000000 /dev/urandom >"$root/cold$i"; done
  for i in 1 2 3 4; do dd of="$root/cold$i" oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null; done
  for i in 1 2 3 4 1 2 3 4; do
    (curl -s -m 30 "http://127.0.0.1:$port/cold$i" | cmp -s - "$root/cold$i" || complain "cold file $i") &
  done
  while [ "$(jobs -rp | wc -l)" -gt 1 ]; do sleep 0.05; done
}

start -t 1
answers; ranges; hostile; pipelining; changes; cold; patience
get 200 / -A $'quo"te\\back' -e 'http://ref/'
kill -0 $pid || complain 'gone'
stop
same 'exit code' 0 $code
requests=$(sed -n 's/.* \([0-9]*\) requests.*/\1/p' "$work/out")
lines=$(wc -l <"$work/log")
same 'log lines' "$requests" "$lines"
grep -q "access log lines $lines, dropped 0" "$work/out" || complain 'log lines in the statistics'
text='"[ -!#-~]*"'
combined="^[0-9.]+ - - \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} \+0000\] $text [0-9]{3} [0-9]+ $text $text\$"
same 'lines that are not in the combined format' 0 "$(LC_ALL=C grep -a -c -v -E "$combined" "$work/log")"
grep -qF '"GET / HTTP/1.1" 200 13 "http://ref/" "quo\x22te\x5cback"' "$work/log" || complain 'escaped fields'
grep -qF '"GET /big.bin HTTP/1.1" 206 1 ' "$work/log" || complain 'range in the log'

# Few descriptors: clients wait, none is lost. The end comes after the response that is under way.
: >"$work/log" >"$work/out"
(ulimit -n 90; exec "$server" -p 0 -r "$root" -l "$work/log" >"$work/out" 2>"$work/err") & pid=$!
for _ in $(seq 200); do port=$(sed -n 's/.*listening.*port //p' "$work/out"); [ -n "$port" ] && break; sleep 0.05; done
for i in $(seq 40); do
  (curl -s -m 20 "http://127.0.0.1:$port/big.bin" | cmp -s - "$root/big.bin" || complain "crowd $i") &
done
while [ "$(jobs -rp | wc -l)" -gt 1 ]; do sleep 0.05; done
curl -s -m 20 --limit-rate 3M "http://127.0.0.1:$port/big.bin" -o "$work/body" & client=$!
sleep 0.5; stop; wait $client
same 'the last response' 0 $?
same_bytes 'the last response' "$root/big.bin" "$work/body"
same 'exit code' 0 $code
same 'log lines of the crowd' 41 "$(wc -l <"$work/log")"

# A log that cannot be written costs the log, not the service.
rm "$work/log"
if [ -c /dev/full ]; then
  ln -s /dev/full "$work/log"
  start
  for i in 1 2 3; do get 200 /small; done
  stop
  same 'exit code with a lost log' 1 $code
  grep -q 'access log: No space left' "$work/err" || complain 'a lost log is not told'
  rm "$work/log"
fi
"$server" -h >/dev/null; same -h 0 $?
"$server" -x 2>/dev/null; same 'unknown option' 2 $?
"$server" -r "$work/none" 2>/dev/null; same 'no root' 1 $?
"$server" -p 0 -r "$root" -l "$work/none/log" 2>/dev/null; same 'no log' 1 $?
[ ! -e "$work/bad" ] || exit 1
echo "httpd_ev answers as it should ($requests requests)"

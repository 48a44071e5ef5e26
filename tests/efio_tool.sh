#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The efio command: every option, what it finds out and measures, what it copies, and how it tells trouble.
set -u
efio=$B/efio
[ -x "$efio" ] || { echo "efio is not built"; exit 77; }
# A name that XML, JSON and shells all have to quote; the byte 0xff is not UTF-8.
top=$(mktemp -d "$B/efio.XXXXXX") || exit 1
work=$top/$'a & <b> "c" \xff'
chmod 755 "$top" # also another user looks at it
mkdir "$work" && cd "$work" || exit 1
ulimit -Sc 0 # signals that dump are sent below
hung=
end() {
  [ -z "$hung" ] || kill "$hung" 2>/dev/null
  [ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null
  wait
  umount "$top/hung" 2>/dev/null
  rm -rf "$top"
}
trap end EXIT
bad=0

complain() { echo "FAILED: $*"; bad=1; }
same() { [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'"; }
left_out() { echo "NOT TRIED: $*"; }
has() { grep -q -e "$2" "$1" || { complain "$1 has no '$2'"; head -n 40 "$1"; }; }
# try EXIT ARGUMENT...: output in out, messages in err
try() {
  local wanted=$1 got
  shift
  timeout 60 "$efio" "$@" >out 2>err </dev/null
  got=$?
  [ $got = "$wanted" ] || { complain "efio $*: wanted exit $wanted, got $got"; cat err; }
}
# usage ARGUMENT...: refused with 2, nothing on standard output, help is pointed at
usage() { try 2 "$@"; has err "Try 'efio.*--help'"; same "output of efio $*" '' "$(cat out)"; }

# value FILE KEY...: what the JSON file has there
if command -v python3 >/dev/null; then
  value() {
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1], encoding="utf-8"))
for key in sys.argv[2:]: v = v[int(key) if isinstance(v, list) else key]
print(json.dumps(v) if not isinstance(v, str) else v)' "$@"
  }
elif command -v jq >/dev/null; then
  value() {
    local file=$1 path=. key
    shift
    for key; do case $key in [0-9]*) path="$path[$key]" ;; *) path="$path[\"$key\"]" ;; esac; done
    jq -rc "$path" "$file"
  }
else
  value() { :; }
  left_out 'what is in the JSON: neither python3 nor jq is here'
  same() { case $1 in json*) ;; *) [ "$2" = "$3" ] || complain "$1: wanted '$2', got '$3'" ;; esac; }
fi
well_formed() { # FILE
  if command -v xmllint >/dev/null; then
    xmllint --noout "$1" || complain "$1 is not XML"
  elif command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$1" || complain "$1 is not XML"
  else
    left_out "whether $1 is XML: neither xmllint nor python3 is here"
  fi
}

the_command_itself() {
  try 0 --help; has out 'Usage: efio'; has out doctor
  try 0 --version; same version "efio $(sed -n 's/^#define EF_VERSION_[A-Z]* //p' "$S/include/efio.h" | paste -sd. -)" \
    "$(cat out)"
  try 0 -V; try 0 -h
  local command
  for command in doctor bench cat; do
    try 0 $command --help; has out "Usage: efio $command"; has out 'Exit status'
    try 0 $command -h
    usage $command --no-such-option
  done
  usage; usage no-such-command; usage --no-such-option; has err '^efio: '
  "$efio" --help >/dev/full 2>err; same 'help to a full disk' 1 $?
}

doctor_tells_of_a_directory() {
  mkdir empty
  try 0 doctor empty
  has out "$(uname -r)"; has out '^  engine'; has out 'RWF_NOWAIT read, in memory'; has out '^Advice'
  same 'left behind by doctor' '' "$(ls -A empty)"
  (cd empty && "$efio" doctor) >out; same 'doctor without a path' 0 $?
  has out '^\.$'
  "$efio" doctor empty >/dev/full 2>err; same 'doctor to a full disk' 1 $?
}

doctor_in_json() {
  try 0 doctor --json empty "$work"
  same 'json kernel' "$(uname -r)" "$(value out system kernel)"
  same 'json RLIMIT_NOFILE' "$(ulimit -Sn)" "$(value out system rlimit_nofile)"
  same 'json io_uring_disabled' "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo absent)" \
    "$(value out system io_uring_disabled)"
  same 'json path' empty "$(value out paths 0 name)"
  same 'json type' "$(awk -v p="$(stat -c %m empty)" '$5 == p { sub(/.* - /, ""); t = $1 } END { print t }' \
    /proc/self/mountinfo)" "$(value out paths 0 file_system)"
  same 'json fdatasync' works "$(value out paths 1 fdatasync)"
  (ulimit -Sn 100; "$efio" doctor -j empty) >out; same 'doctor with few descriptors' 0 $?
  same 'json advice' 1 "$(value out advice | grep -c 'RLIMIT_NOFILE is small')"
  EFIO_ENGINE=threads "$efio" doctor -j empty >out; same 'doctor with an engine' 0 $?
  same 'json engine' threads "$(value out system engine)"
  has out 'EFIO_ENGINE=threads decides'
}

no_such_engine() {
  export EFIO_ENGINE=nonsense
  try 1 doctor -j empty
  same 'json no engine' null "$(value out system engine)"; has out '"engine_error": "EFIO_ENGINE=nonsense: not auto'
  try 1 doctor empty; has out 'efio reads .*EFIO_ENGINE=nonsense'; has out 'no file can be opened with EFIO_ENGINE=non'
  try 1 bench -q .; has err '^efio: EFIO_ENGINE=nonsense'; same 'output of bench without an engine' '' "$(cat out)"
  try 1 cat small; has err '^efio: EFIO_ENGINE=nonsense'
  unset EFIO_ENGINE
  try 1 doctor none; ! grep -q 'nothing to improve' out || complain 'doctor knows what it has not found out'
}

doctor_elsewhere() {
  try 1 doctor --json none empty
  same 'json missing' ENOENT "$(value out paths 0 path_error)"
  same 'json the one after' works "$(value out paths 1 fdatasync)"
  try 1 doctor /dev/null; has out 'neither a directory nor a regular file'
  sync big
  try 0 doctor -j big; same 'json tried on' 'the file itself' "$(value out paths 0 tried_on)"
  case $(stat -fc %T .) in
    ext2/ext3 | xfs) same 'json a file that was in memory' EAGAIN "$(value out paths 0 nowait_read_miss)" ;;
  esac
  try 0 doctor /proc; has out 'writing was not tried' # nobody may create a file there
  if [ "$(stat -fc %T /dev/shm 2>/dev/null)" = tmpfs ] && [ -w /dev/shm ]; then
    try 0 doctor -j /dev/shm
    same 'json tmpfs' tmpfs "$(value out paths 0 file_system)"
    same 'json reads of tmpfs' inline "$(value out paths 0 reads)"
  else
    left_out 'doctor on tmpfs: /dev/shm is none'
  fi
  mkdir -m 000 locked
  local as=
  [ "$(id -u)" != 0 ] || as='setpriv --reuid 65534 --clear-groups'
  if $as test -x "$efio" -a -x "$work" 2>/dev/null; then
    $as timeout 60 "$efio" doctor locked >out 2>err; same 'doctor on a locked directory' 1 $?
    has out EACCES
  else
    left_out 'doctor on a directory that may not be read'
  fi
  usage doctor --timeout; usage doctor --timeout 0; has err '1 to 3600'
  usage doctor --timeout x empty; usage doctor -t 3601
}

# A FUSE server that never answers: whoever touches the directory waits for ever.
hang_a_mount() {
  mkdir -p "$top/hung"
  python3 -c 'import ctypes, os, sys, time
fd = os.open("/dev/fuse", os.O_RDWR)
how = "fd=%d,rootmode=40000,user_id=0,group_id=0" % fd
ok = ctypes.CDLL(None).mount(b"hung", os.fsencode(sys.argv[1]), b"fuse", 0, how.encode()) == 0
print("mounted" if ok else "not allowed", flush=True)
time.sleep(120)' "$top/hung" >mounted 2>/dev/null &
  hung=$!
  for _ in $(seq 100); do [ ! -s mounted ] || break; sleep 0.05; done
  grep -q '^mounted' mounted
}

doctor_does_not_hang() {
  if [ "$(id -u)" != 0 ] || ! command -v python3 >/dev/null || ! hang_a_mount; then
    left_out 'doctor on a file system that hangs: it cannot be made here'
    return
  fi
  local began=$SECONDS
  "$efio" doctor -j --timeout 1 "$top/hung" empty >out 2>err | cat; same 'doctor where it hangs' 1 "${PIPESTATUS[0]}"
  [ $((SECONDS - began)) -lt 10 ] || complain "doctor hung with its file system"
  value out paths 0 probe_error | grep -q '^no answer within 1 s at:' || complain 'doctor does not tell that it hangs'
  same 'json the mount that hangs' fuse "$(value out paths 0 file_system)"
  same 'json the one after the hung one' works "$(value out paths 1 fdatasync)"
  kill $hung; hung= # the mount is aborted: whoever hung is free
}

cat_copies() { # with EFIO_ENGINE
  timeout 60 "$efio" cat big small empty_file big | cmp -s - <(cat big small empty_file big) ||
    complain 'cat into a pipe'
  try 0 cat big; cmp -s big out || complain 'cat into a file'
  local mode
  for mode in normal streaming direct; do
    try 0 cat --cache $mode big small; cmp -s out <(cat big small) || complain "cat --cache $mode"
  done
  try 0 cat -u -c streaming -n big
  cmp -s out big || complain 'cat -u -c -n'
  grep -q "^efio: big: $(stat -c %s big) bytes;" err || complain 'cat -n does not count'
  timeout 60 "$efio" cat big | { sleep 1; cmp -s - big; } || complain 'cat to a slow reader'
}

cat_from_elsewhere() {
  same 'standard input' 'in small end' "$(printf 'in ' | "$efio" cat - small - | tr '\n' ' ' | cat - <(printf end))"
  same 'no file' in "$(printf in | "$efio" cat)"
  mkfifo fifo
  printf 'through a fifo' >fifo &
  same fifo 'through a fifo' "$(timeout 20 "$efio" cat fifo)"
  same proc "$(cat /proc/version)" "$("$efio" cat /proc/version)"
  try 1 cat small none small; has err 'none: No such file or directory'
  same 'the others' 'small small ' "$(tr '\n' ' ' <out)"
  try 1 cat . ; has err 'Is a directory'
  try 1 cat ''
  cp small own; "$efio" cat own >>own 2>err; same 'a file into itself' 1 $?
  has err 'input file is output file'; cmp -s small own || complain 'a file into itself has grown'
  timeout 20 "$efio" cat <&- 2>err; same 'a closed input' 1 $?
  usage cat --cache no-such-mode; has err 'streaming or direct'; usage cat --cache
}

cat_to_nowhere() {
  timeout 20 "$efio" cat big 2>err | head -c 10 >out; same 'a reader that goes away' 141 "${PIPESTATUS[0]}"
  (trap '' PIPE; timeout 20 "$efio" cat big; echo $? >code) 2>err | head -c 10 >out
  same 'a reader that goes away, SIGPIPE ignored' 1 "$(cat code)"; has err 'write error: Broken pipe'
  timeout 20 "$efio" cat big >/dev/full 2>err; same 'a full disk' 1 $?; has err 'write error'
  timeout 20 "$efio" cat small >&- 2>err; same 'a closed output' 1 $?
}

cat_beyond_4_gib() {
  truncate -s 4300000000 huge; echo 'the end' >>huge
  timeout 300 "$efio" cat -c streaming huge | cmp -s - huge || complain 'cat of a file beyond 4 GiB'
  rm huge
}

bench_measures() { # with EFIO_ENGINE
  try 0 bench --quick --json all.json --svg all.svg .
  same 'messages of bench' '' "$(cat err)"
  same 'tests in the table' 7 "$(grep -cE '^(read|write|sync)' out)"
  ! grep -q FAILED out || { complain 'a test failed'; cat out; }
  well_formed all.svg; has all.svg 'latency of a call'; has all.svg polyline
  same 'left behind by bench' '' "$(ls -A | grep efio-bench)"
  same 'json tests' read-cached "$(value all.json tests 0 name)"
  command -v python3 >/dev/null || return
  python3 - all.json <<'END' || complain 'the numbers do not agree with each other'
import json, sys
for t in json.load(open(sys.argv[1], encoding="utf-8"))["tests"]:
    assert "skipped" in t or len(t["results"]) == 2, t["name"]
    for r in t["results"]:
        l = r["latency_ns"]
        order = [l[k] for k in ("min", "p50", "p90", "p99", "p99_9", "p99_99", "p99_999", "max")]
        assert order == sorted(order) and l["min"] <= l["mean"] <= l["max"], (t["name"], l)
        assert r["operations"] == sum(n for _, n in r["histogram"]) > 0 and r["seconds"] > 0, t["name"]
        assert r["histogram"] == sorted(r["histogram"])
        size = 100 if t["name"] == "write-line" else 4096
        assert r["bytes"] >= r["operations"] * size or t["name"] == "read-sequential", t["name"]
END
}

bench_options() {
  try 0 bench --list; same 'tests listed' 7 "$(wc -l <out)"
  try 0 bench --only sync,read-cached --size 2M --seconds 0.05 --json - --no-progress .
  same 'json one of two' read-cached "$(value out tests 0 name)"
  same 'json the other' sync "$(value out tests 1 name)"
  same 'json size' 2097152 "$(value out size)"
  same 'json directory' . "$(value out path)"
  try 0 bench -p -q -o sync --svg - "$work"; well_formed out; has err '^\[ *[0-9]* %\] sync: '
  cksum big >before
  try 0 bench --seconds 0.05 --size 2M big; has out 'write-line *skipped: a file was given'
  cksum big | cmp -s - before || complain 'bench has changed a file'
  try 1 bench -q -o sync -j none/x .; has err 'none/x: No such file'
  same 'measured without a place for it' '' "$(cat out)"
  try 1 bench -q -o sync --svg . .; has err '\.: Is a directory'
  seq 100000 >old.json
  try 1 bench -q -o sync -j old.json --svg none/x .; same 'what was there' 100000 "$(tail -n 1 old.json)"
  try 0 bench -q -o sync -j old.json .; same 'json over what was there' sync "$(value old.json tests 0 name)"
  try 1 bench -q -o sync -j /dev/full .; has err '/dev/full: No space'
  "$efio" bench -q -o sync -j /dev/fd/3 . 3>&1 >/dev/null | cat >piped
  same 'json into a pipe' sync "$(value piped tests 0 name)"
  try 1 bench none; try 1 bench /dev/null; try 1 bench small; has err 'too small'
  local size seconds
  for size in 12 0 1X M 1MB -1 9999999T 1m; do usage bench --size $size .; has err '1M to 1T'; done
  for seconds in 0 x 1x -1 1e9; do usage bench --seconds $seconds .; has err '0.01 to 3600'; done
  usage bench; usage bench . .; usage bench --only nothing .; has err 'names of --list'; usage bench --only sync,sync .
  usage bench -j - --svg - .
  try 1 bench /proc; has err '^efio: /proc: ' # nobody may create a file there
}

# Who neither owns a file nor may write it is not told by mincore(2) what is in memory.
bench_reads_a_file_of_others() {
  case $(id -u):$(stat -fc %T .) in 0:ext2/ext3 | 0:xfs) ;; *) left_out 'bench on a file of others'; return ;; esac
  local as='setpriv --reuid 65534 --regid 65534 --clear-groups'
  $as test -x "$efio" -a -x . || { left_out 'bench on a file of others: it cannot be reached'; return; }
  sync big
  $as timeout 60 "$efio" bench -q --size 8M -o read-cold big >out 2>err; same 'bench on a file of others' 0 $?
  ! grep -q skipped out || { complain 'a file of others does not get cold'; cat out; }
}

bench_ends_early() {
  local signal
  for signal in INT TERM HUP QUIT XCPU; do
    mkdir -p early
    env --default-signal=$signal timeout -k 5 -s $signal 1 "$efio" bench --size 4M --seconds 30 early >out 2>err
    same "bench and SIG$signal" 124 $?
    same "left behind after SIG$signal" '' "$(ls -A early)"
  done
  timeout 60 env --default-signal=PIPE "$efio" bench -q -o sync --svg - early 2>err | true
  same 'bench and SIGPIPE' 141 "${PIPESTATUS[0]}"; same 'left behind after SIGPIPE' '' "$(ls -A early)"
  (ulimit -f 1000; timeout 60 env --default-signal=XFSZ "$efio" bench -q early >out 2>err)
  same 'bench and SIGXFSZ' 153 $?; same 'left behind after SIGXFSZ' '' "$(ls -A early)"
  command -v script >/dev/null || { left_out 'progress on a terminal: no script(1)'; return; }
  script -qec "'$efio' bench -q -o sync . >out" shown >/dev/null 2>&1 </dev/null
  grep -q '%\] sync: ef_sync' shown || complain 'no progress on a terminal'
}

# What the manual shows, in shorter time.
examples_of_the_manual() {
  cp big disk.img
  mkdir -p bin && ln -sf "$efio" bin/efio
  local line
  sed -n 's/^\.Dl efio/efio/p' "$S/man/efio.1" | sed 's/\\&//; s/--seconds 5/--seconds 0.05 --size 2M/' >examples
  [ "$(wc -l <examples)" -ge 4 ] || complain 'the manual has no examples'
  while read -r line; do
    case $line in *jq*) command -v jq >/dev/null || continue ;; esac
    PATH=$PWD/bin:$PATH bash -o pipefail -c "$line" >out 2>err </dev/null || { complain "$line"; cat err; }
  done <examples
}

head -c 9000000 /dev/urandom >big
echo small >small
: >empty_file
the_command_itself
doctor_tells_of_a_directory
doctor_in_json
no_such_engine
doctor_elsewhere
doctor_does_not_hang
for EFIO_ENGINE in threads uring auto; do
  export EFIO_ENGINE
  cat_copies
  bench_measures
done
unset EFIO_ENGINE
cat_from_elsewhere
cat_to_nowhere
[ -z "${EFIO_LONG-}" ] || cat_beyond_4_gib
bench_options
bench_reads_a_file_of_others
bench_ends_early
examples_of_the_manual
exit $bad

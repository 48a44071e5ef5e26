#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tests that touch files, once for each place and each way in which they may be served: check-everywhere.sh TEST...
# File systems: ext4, xfs, btrfs, tmpfs, overlayfs, FUSE. On ext4 also without io_uring: forbidden or hidden by seccomp,
# by sysctl, by RLIMIT_MEMLOCK, by EFIO_ENGINE. One line a row: its count and, as efio doctor tells
# it, the engine, why that one, and how files are read there.
# ROWS='xfs memlock' runs only these; EFIO_SYSCTL=1 really sets kernel.io_uring_disabled, which every program of the
# machine will feel meanwhile, instead of a filter that answers the same. Needs root; everything is mounted where nobody
# else sees it, from files below B, and is gone at the end. S and B are the sources and the build.
set -u
all_rows='ext4 xfs btrfs tmpfs overlay fuse eperm enosys sysctl memlock threads'
rows=${ROWS:-$all_rows}
[ "$(id -u)" = 0 ] || { echo "check-everywhere mounts file systems: it needs root" >&2; exit 77; }
[ -n "${EFIO_PRIVATE-}" ] || exec env EFIO_PRIVATE=1 unshare --mount --propagation private "$0" "$@"

images=$(mktemp -d "$B/everywhere.XXXXXX") || exit 1
at=$(mktemp -d /tmp/efio-everywhere.XXXXXX) || exit 1
logs=$at/B/everywhere-logs why=$images/why
knob=/proc/sys/kernel/io_uring_disabled
knob_was='' mounted='' tests='' passed=0 failed=0 skipped=0 bad=0

end() {
  restore_knob
  for place in $mounted; do umount "$place" 2>/dev/null || umount -l "$place"; done
  rm -rf --one-file-system "$images" "$at"
}
restore_knob() {
  [ -z "$knob_was" ] || echo "$knob_was" >$knob
  knob_was=''
}
trap end EXIT
trap 'exit 1' INT TERM

# A row that was asked for and is not run is no success.
not_run() {
  echo "$1  NOT RUN: $2"
  bad=1
}

# ---- Places: each function mounts one; 1 and a reason in $why

apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >/dev/null 2>&1; }
tool() { # COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 && return
  apt install --no-install-recommends "$2" || { apt update && apt install --no-install-recommends "$2"; }
  command -v "$1" >/dev/null 2>&1 && return
  echo "no $1: the package $2 cannot be installed" >"$why"
  return 1
}

mounts() { # NAME MOUNT-ARGUMENTS...
  place=$at/$1
  shift
  mkdir -p "$place" && mount "$@" "$place" 2>"$why" && mounted="$place $mounted"
}
image() { # NAME PACKAGE OPTIONS-OF-MKFS...: a file system in a file
  name=$1
  tool "mkfs.$name" "$2" || return 1
  shift 2
  losetup -f >/dev/null 2>"$why" || return 1
  truncate -s 2G "$images/$name" && "mkfs.$name" "$@" "$images/$name" >"$why" 2>&1 || return 1
  mounts "$name" -t "$name" -o loop "$images/$name"
}
overlay() {
  mkdir -p "$base/lower" "$base/upper" "$base/work"
  mounts overlay -t overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" overlay
}
fuse() {
  tool bindfs bindfs || return 1
  mkdir -p "$at/fuse" "$base/behind"
  bindfs --multithreaded "$base/behind" "$at/fuse" >"$why" 2>&1 && mounted="$at/fuse $mounted"
}
# Where most rows are: a new ext4, or, on a machine without loop devices, the build's own file system.
base_place() {
  base=$at/ext4
  image ext4 e2fsprogs -q -F && return
  echo "ext4 in a file cannot be mounted ($(tr '\n' ' ' <"$why")): $B is used"
  base=$images/base
  mkdir "$base" && chmod 711 "$images"
}

# ---- What a row runs

# Of programs those with the library in them, and all that go where TMPDIR says; by the names they have below $at.
choose_tests() {
  for test in "$@"; do
    case $test in
      *.sh) grep -qF "\${TMPDIR:-\$B}" "$test" && tests="$tests $at/S/tests/${test##*/}" ;;
      *)
        { nm "$test" | grep -q ' T ef_openat$' || grep -qs TMPDIR "$S/tests/${test##*/}".c*; } &&
          tests="$tests $at/B/tests/${test##*/}" ;;
    esac
  done
}

# As efio doctor tells it: the engine and why, how files there are read; all of it goes to the row's log.
diagnose() { # COMMAND...
  "$@" "$at/B/efio" doctor --json "$dir" >"$log/doctor" 2>&1
  engine=$(told engine)
  reads="$engine ($(told engine_note)); reads $(told reads): $(told reads_note)"
}
told() { sed -n "s/^ *\"$1\": \"\(.*\)\",*\$/\1/p" "$log/doctor" | sed 's/\\"/"/g;q'; }

# ---- Rows

# row NAME PLACE TYPE ENGINE COMMAND...: the tests in PLACE, which is of TYPE (as stat -f names it; any), under COMMAND,
# where ports take ENGINE (any: the best).
row() {
  name=$1 place=$2 type=$3 wanted=$4
  shift 4
  dir=$place/efio-$name log=$logs/$name
  mkdir -p "$dir" "$log" && chmod 1777 "$dir" "$log" && rm -f "$log"/* || return
  is=$(stat -f -c %T "$dir")
  case $type in any | "$is") ;; *) not_run "$name" "the place is on $is"; return ;; esac
  diagnose "$@"
  case $wanted in any | "$engine") ;; *) not_run "$name" "the engine is $engine: $reads"; return ;; esac
  # shellcheck disable=SC2086 # a list of words
  TMPDIR=$dir S=$at/S B=$at/B "$@" "$at/S/tools/run-tests.sh" "$log" $tests >"$log/report" 2>&1 || bad=1
  read -r good _ ill _ left _ <"$log/count" || { not_run "$name" "$(tail -n 1 "$log/report")"; return; }
  printf '%-8s  %4d passed, %d failed, %d skipped  %s\n' "$name" "$good" "$ill" "${left:-0}" "$reads"
  grep -a '^FAIL' "$log/report"
  passed=$((passed + good)) failed=$((failed + ill)) skipped=$((skipped + ${left:-0}))
  rm -rf "$dir"
}

set_knob() {
  [ "${EFIO_SYSCTL-}" = 1 ] || return 0
  knob_was=$(cat $knob 2>"$why") && echo 2 >$knob
}

run_row() {
  case $1 in
    xfs) image xfs xfsprogs -q ;;
    btrfs) image btrfs btrfs-progs -q ;;
    tmpfs) mounts tmpfs -t tmpfs -o size=2g tmpfs ;;
    overlay) overlay ;;
    fuse) fuse ;;
    sysctl) set_knob ;;
  esac || { not_run "$1" "$(tr '\n' ' ' <"$why")"; return; }
  case $1 in
    ext4) row ext4 "$base" any any env ;;
    xfs | btrfs | tmpfs) row "$1" "$at/$1" "$1" any env ;;
    overlay) row overlay "$at/overlay" overlayfs any env ;;
    fuse) row fuse "$at/fuse" fuseblk any env ;;
    eperm) row eperm "$base" any threads "$at/no_uring" EPERM all ;;
    enosys) row enosys "$base" any threads "$at/no_uring" ENOSYS all ;;
    sysctl) # the kernel's answer itself, or the filter's
      set -- "$at/no_uring" EPERM setup
      [ -z "$knob_was" ] || set -- env
      row sysctl "$base" any threads "$@" ;;
    memlock) row memlock "$base" any threads prlimit --memlock=0:0 setpriv --reuid=65534 --regid=65534 --clear-groups ;;
    threads) row threads "$base" any threads env EFIO_ENGINE=threads ;;
    *) not_run "$1" "the rows are $all_rows" ;;
  esac
  restore_knob
}

chmod 711 "$at"
mkdir "$at/S" "$at/B" && mount --bind "$S" "$at/S" && mount --bind "$B" "$at/B" || exit 1
mounted="$at/B $at/S"
${CC:-cc} -D_GNU_SOURCE "$S/tests/no_uring.c" -o "$at/no_uring" && choose_tests "$@" && base_place || exit 1
for name in $rows; do run_row "$name"; done
echo "everywhere (logs in $B/everywhere-logs): $passed passed, $failed failed, $skipped skipped"
[ $bad = 0 ] && [ $passed -gt 0 ]

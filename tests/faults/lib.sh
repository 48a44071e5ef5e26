# SPDX-License-Identifier: BSD-2-Clause
# What the fault tests share; each sources it first, with the build directory as $1: root or a skip, a mount namespace
# of its own, disks in files, and an end that leaves nothing behind. Installs nothing.
#
# Everything lies below $at, a tmpfs that only this test sees: if the test is killed, its mounts, images and loop
# devices go with its last process.
# shellcheck shell=sh

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  echo "FAILED: $*"
  exit 1
}

B=${1:?the build directory}
# shellcheck disable=SC2034 # for the tests, as $loop is
programs=$B/tests/faults
[ "$(id -u)" = 0 ] || skip "needs root"
if [ -z "${EFIO_PRIVATE-}" ]; then
  unshare --mount true 2>/dev/null || skip "file systems cannot be mounted here"
  exec env EFIO_PRIVATE=1 unshare --mount --propagation private "$0" "$@"
fi

need_tool() { # COMMAND...
  for name; do command -v "$name" >/dev/null 2>&1 || skip "no $name"; done
}
need_program() { # NAME...: of tests/faults/
  for name; do [ -x "$programs/$name" ] || skip "$name is not built"; done
}
# trials SHORT LONG: which of both, as EFIO_LONG says
trials() { [ -n "${EFIO_LONG-}" ] && echo "$2" || echo "$1"; }

# ---- The end

mounted='' started='' next_fd=5
end() {
  for pid in $started; do kill -KILL "$pid" 2>/dev/null || :; done
  for place in $mounted; do umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null || :; done
  while [ "$next_fd" -gt 5 ]; do
    next_fd=$((next_fd - 1))
    eval "exec $next_fd<&-"
  done
  umount "$at" 2>/dev/null || umount -l "$at" 2>/dev/null || :
  rmdir "$at" 2>/dev/null || :
}
at=$(mktemp -d /tmp/efio-faults.XXXXXX) || fail "no place in /tmp"
trap end EXIT
trap 'exit 1' HUP INT TERM
mount -t tmpfs -o size=8g,mode=755 efio-faults "$at" || skip "file systems cannot be mounted here"

# start COMMAND...: in the background, killed at the end; $! is its number
start() {
  "$@" &
  started="$started $!"
}

# ---- Disks

# mount_at NAME MOUNT-ARGUMENTS...: $at/NAME
mount_at() {
  mkdir -p "$at/$1"
  mount_place=$at/$1
  shift
  mount "$@" "$mount_place" && mounted="$mount_place $mounted"
}
# disk FILE SIZE: $loop is a block device over the file, which is made if it is not there. Only our open descriptor
# keeps it: it goes when the last process that has inherited it ends.
disk() {
  [ -e "$1" ] || truncate -s "$2" "$1"
  loop=$(losetup -f --show "$1" 2>/dev/null) || skip "no loop devices"
  [ "$next_fd" -le 9 ] || fail "too many disks"
  eval "exec $next_fd<\"\$loop\""
  next_fd=$((next_fd + 1))
  losetup -d "$loop"
}
# file_system TYPE DEVICE: an empty one
file_system() {
  need_tool "mkfs.$1"
  case $1 in
    ext4) mkfs.ext4 -q -F "$2" ;;
    *) "mkfs.$1" -q -f "$2" ;;
  esac >/dev/null || fail "mkfs.$1"
}
# fault_fs NAME OPTIONS...: the directory $at/NAME.back once more at $at/NAME, by faultfs (see there), which is
# process $fault_pid
fault_fs() {
  need_program faultfs
  [ -c /dev/fuse ] || skip "no FUSE"
  fault_name=$1
  shift
  mkdir -p "$at/$fault_name" "$at/$fault_name.back"
  start "$programs/faultfs" "$@" "$at/$fault_name.back" "$at/$fault_name"
  fault_pid=$!
  mounted="$at/$fault_name $mounted"
  tries=100
  until [ -e "$at/$fault_name/.ctl" ]; do
    [ $((tries -= 1)) -gt 0 ] || fail "faultfs does not start"
    sleep 0.05
  done
}
# rule NAME LINE: into its control file
rule() { echo "$2" >"$at/$1/.ctl"; }
# counted NAME OPERATION calls|hits|hanging
counted() { sed -n "s/^$2 .*$3 \([0-9]*\).*/\1/p" "$at/$1/.ctl"; }

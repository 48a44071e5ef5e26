#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Errors of a block device below ext4 and xfs: an image on faultfs, a loop device over it; see block_errors.cc.
set -eu
. "${0%/*}/lib.sh"

need_program block_errors
# xfs writes to its log every 30 s by itself; if that is the write that fails, it shuts itself down.
log_time=/proc/sys/fs/xfs/xfssyncd_centisecs log_time_was=
log_time_again() {
  [ -z "$log_time_was" ] || echo "$log_time_was" >$log_time
  end
}
trap log_time_again EXIT
bad=0
below() { # TYPE SIZE MOUNT-OPTIONS
  [ -x "$(command -v "mkfs.$1")" ] || { echo "# $1: left out, no mkfs.$1"; return; }
  fault_fs "$1.below" --direct
  truncate -s "$2" "$at/$1.below.back/img"
  file_system "$1" "$at/$1.below.back/img"
  disk "$at/$1.below/img"
  mount_at "$1" -t "$1" -o "$3" "$loop"
  echo "# $1"
  timeout 3600 "$programs/block_errors" "$at/$1.below" "$at/$1.below.back" "$at/$1" "$fault_pid" || bad=1
}
# Times that change must not reach the disk by themselves: the write that is hit is the one of the data.
below ext4 64M noatime,lazytime,commit=600
if [ -e $log_time ]; then
  log_time_was=$(cat $log_time)
  echo 720000 >$log_time
fi
below xfs 300M noatime,lazytime
exit $bad

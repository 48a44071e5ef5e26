#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Power cuts by replay: a writer on ext4 and xfs in an image on faultfs, which logs what the disk is told; then
# replay.cc builds what a cut at any moment may leave. EFIO_KEEP=DIRECTORY keeps image, log and acknowledgements of a
# failure, from which replay finds it again by its seed.
set -eu
. "${0%/*}/lib.sh"

need_program replay replay_writer
bad=0 all=''

replayed() { # TYPE SIZE CUTS SECONDS
  [ -x "$(command -v "mkfs.$1")" ] || { echo "# $1: left out, no mkfs.$1"; return; }
  fault_fs "$1" --direct --log "$at/$1.log" --image img
  truncate -s "$2" "$at/$1.back/img"
  file_system "$1" "$at/$1.back/img"
  cp --sparse=always "$at/$1.back/img" "$at/$1.base"
  disk "$at/$1/img"
  mount_at "$1.mnt" -t "$1" "$loop"
  timeout 600 "$programs/replay_writer" "$at/$1.mnt" "$at/$1.log" "$at/$1.acks" "$4" || bad=1
  umount "$at/$1.mnt"
  for part in 1 2; do # most of the time is the kernel's, for mounting
    mkdir "$at/$1.$part"
    start timeout 7200 "$programs/replay" "$at/$1.base" "$at/$1.log" "$at/$1.acks" "$at/$1.$part" "$1" $(($3 / 2)) $part
    all="$all $1:$!"
  done
}
keep() {
  bad=1
  [ -z "${EFIO_KEEP-}" ] || cp --sparse=always "$at/$1.base" "$at/$1.log" "$at/$1.acks" "$EFIO_KEEP/"
}

replayed ext4 64M "$(trials 80 800)" 2
replayed xfs 300M "$(trials 20 200)" 2
for one in $all; do wait "${one#*:}" || keep "${one%:*}"; done
exit $bad

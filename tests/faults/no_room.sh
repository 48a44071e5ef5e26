#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# File systems that are full, and a quota of btrfs: see no_room.cc.
set -eu
. "${0%/*}/lib.sh"

need_program no_room
mkdir "$at/healthy"
no_space=28 no_quota=122 bad=0
cycles=$(trials 6 60)

full() { # PLACE ERRNO [TIGHT LOOSE]
  echo "# ${1##*/}"
  place=$1 error=$2
  shift 2
  timeout 1200 "$programs/no_room" "$place" "$at/healthy" "$error" "$cycles" "$@" || bad=1
}
small() { # TYPE SIZE: $at/TYPE
  [ -x "$(command -v "mkfs.$1")" ] || { echo "# $1: left out, no mkfs.$1"; return 1; }
  truncate -s "$2" "$at/$1.img"
  file_system "$1" "$at/$1.img"
  disk "$at/$1.img"
  mount_at "$1" -t "$1" "$loop"
}

mount_at tmpfs -t tmpfs -o size=48m none
full "$at/tmpfs" $no_space
for type in ext4:64M xfs:300M btrfs:200M; do
  small "${type%:*}" "${type#*:}" && full "$at/${type%:*}" $no_space
done
# A group of btrfs that may hold 24 MiB. Lowered and lifted from outside, as even shortening a file in it needs room.
group=$at/btrfs/group
if [ -x "$(command -v btrfs)" ] && rm -f "$at/btrfs/filler" && btrfs subvolume create "$group" >/dev/null &&
  btrfs quota enable "$at/btrfs" && number=0/$(btrfs inspect-internal rootid "$group") &&
  btrfs qgroup limit 24M "$number" "$at/btrfs"; then
  full "$group" $no_quota "btrfs qgroup limit 24M $number $at/btrfs" "btrfs qgroup limit none $number $at/btrfs"
else
  echo "# left out: no quotas of btrfs"
fi
exit $bad

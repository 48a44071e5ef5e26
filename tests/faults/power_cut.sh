#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every acknowledged line survives a power cut, on ext4 and on xfs: see power_cut.cc. TYPES=xfs runs it on that alone;
# IMAGES=DIR has the disks there instead of in memory, so that each sync takes as long as a disk's.
set -eu
# shellcheck source=tests/faults/lib.sh
. "${0%/*}/lib.sh"
need_program power_cut

ran=0
for type in ${TYPES:-ext4 xfs}; do
  command -v "mkfs.$type" >/dev/null 2>&1 || { echo "left out: no mkfs.$type"; continue; }
  case $type in
    ext4) cuts=$(trials 300 10000) ;;
    *) cuts=$(trials 100 2000) ;;
  esac
  image=$(mktemp "${IMAGES:-$at}/$type.XXXXXX") && truncate -s 320M "$image"
  disk "$image"
  rm "$image" # whatever happens, it goes with the last who has the disk open
  file_system "$type" "$loop"
  mkdir "$at/$type" && mounted="$at/$type $mounted"
  code=0
  "$programs/power_cut" "$type" "$loop" "$at/$type" "${CUTS:-$cuts}" || code=$?
  case $code in
    0) ran=1 ;;
    77) echo "left out: $type cannot be shut down" ;;
    *) exit 1 ;;
  esac
done
[ $ran = 1 ] || skip "no file system could be cut off"

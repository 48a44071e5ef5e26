#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# File systems that are frozen and thawed under a loop's files: see freezes.cc.
set -eu
. "${0%/*}/lib.sh"

need_program freezes
need_tool fsfreeze
thaw_and_end() { # a frozen one could not be unmounted
  for type in ext4 xfs; do fsfreeze -u "$at/$type" 2>/dev/null || :; done
  end
}
trap thaw_and_end EXIT
bad=0 all=''
for type in ext4:64M xfs:300M; do
  size=${type#*:} type=${type%:*}
  [ -x "$(command -v "mkfs.$type")" ] || { echo "# $type: left out, no mkfs.$type"; continue; }
  mkdir "$at/healthy.$type"
  truncate -s "$size" "$at/$type.img"
  file_system "$type" "$at/$type.img"
  disk "$at/$type.img"
  mount_at "$type" -t "$type" "$loop"
  # shellcheck disable=SC2046 # several arguments
  start timeout 1800 "$programs/freezes" "$at/$type" "$at/healthy.$type" $(trials "6 100 500" "100 100 5000")
  all="$all $!"
done
for pid in $all; do wait "$pid" || bad=1; done
exit $bad

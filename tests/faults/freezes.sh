#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# File systems that are frozen and thawed under a loop's files: see freezes.cc.
set -eu
. "${0%/*}/lib.sh"

need_program freezes
mkdir "$at/healthy"
bad=0
for type in ext4:64M xfs:300M; do
  size=${type#*:} type=${type%:*}
  [ -x "$(command -v "mkfs.$type")" ] || { echo "# $type: left out, no mkfs.$type"; continue; }
  truncate -s "$size" "$at/$type.img"
  file_system "$type" "$at/$type.img"
  disk "$at/$type.img"
  mount_at "$type" -t "$type" "$loop"
  echo "# $type"
  # shellcheck disable=SC2046 # several arguments
  timeout 1800 "$programs/freezes" "$at/$type" "$at/healthy" $(trials "6 100 500" "100 100 5000") || bad=1
done
exit $bad

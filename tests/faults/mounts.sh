#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A file system that goes away or becomes read-only under its files, and a disk without one: see mounts.cc. On both
# engines.
set -eu
. "${0%/*}/lib.sh"
need_program mounts

disk "$at/img" 64M
file_system ext4 "$loop"
device=$loop
disk "$at/raw" 8M
mkdir "$at/m"
code=0
for engine in auto threads; do
  echo "EFIO_ENGINE=$engine"
  EFIO_ENGINE=$engine timeout 250 "$programs/mounts" "$at/m" "$device" "$loop" || code=1
done
exit $code

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A server opens its files as root and becomes somebody else: see credentials.cc.
set -eu
. "${0%/*}/lib.sh"
need_program credentials

disk "$at/disk.img" 64M
file_system ext4 "$loop"
mount_at ext4 -t ext4 "$loop"
code=0
for place in "$at" "$at/ext4"; do
  "$programs/credentials" "$place" "$(trials 5 50)" || code=1
done
exit $code

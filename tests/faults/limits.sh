#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Limits of the process, and descriptors that the host closes, in memory and on a disk's file system: see limits.cc.
set -eu
. "${0%/*}/lib.sh"
need_program limits

disk_place=$(mktemp -d "${TMPDIR:-/tmp}/efio-limits.XXXXXX")
end_of_place() {
  end
  rm -rf "$disk_place"
}
trap end_of_place EXIT

code=0
for place in "$at" "$disk_place"; do
  "$programs/limits" "$place" || code=1
done
exit $code

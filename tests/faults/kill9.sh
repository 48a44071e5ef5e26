#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# SIGKILL loses nothing that was said to be written, in memory and on a disk's file system: see kill9.cc.
set -eu
. "${0%/*}/lib.sh"
need_program kill9

disk_place=$(mktemp -d "${TMPDIR:-/tmp}/efio-kill9.XXXXXX")
end_of_place() {
  end
  rm -rf "$disk_place"
}
trap end_of_place EXIT

each=$(($(trials 2000 10000) / 2))
"$programs/kill9" "$at" "$each"
"$programs/kill9" "$disk_place" "$each"

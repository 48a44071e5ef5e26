#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Reads and writes that fail, fall short, find no room, hang, or lose their file system: fs_errors.cc and fs_hangs.cc on
# faultfs, on both engines.
set -eu
. "${0%/*}/lib.sh"

need_program fs_errors fs_hangs
mkdir "$at/healthy"
bad=0
for engine in auto threads; do
  for program in fs_errors fs_hangs; do
    fault_fs "$program-$engine" --direct
    EFIO_ENGINE=$engine timeout 600 "$programs/$program" "$at/$program-$engine" "$at/$program-$engine.back" \
      "$at/healthy" "$fault_pid" || bad=1
    kill -KILL "$fault_pid" 2>/dev/null || :
  done
done
exit $bad

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every allocation, thread and descriptor is refused once and for good, in everything the library and its adapters do:
# see sweep.hh. SCENARIO=name runs one alone.
set -eu
. "${0%/*}/lib.sh"
need_program no_memory

code=0
for program in no_memory no_memory_ev no_memory_uv; do
  [ -x "$programs/$program" ] || { echo "left out: $program is not built"; continue; }
  "$programs/$program" "$at" ${SCENARIO:+"$SCENARIO"} || code=1
done
exit $code

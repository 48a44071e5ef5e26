#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A storm of signals changes nothing, also where the clock began long ago: see signals.cc.
set -eu
. "${0%/*}/lib.sh"
need_program signals

"$programs/signals" "$at" "$(trials 100000 1000000)"

# A monotonic clock of many years.
if unshare --time --monotonic 1000000000 true 2>/dev/null; then
  unshare --time --monotonic 1000000000 "$programs/signals" "$at" 2000
else
  echo "left out: no time namespaces"
fi

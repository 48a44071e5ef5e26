#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs the tests that break the machine under the library, tests/faults/*.sh, as root: check-faults.sh TEST...
# FAULTS='power_cut' runs only these; EFIO_LONG=1 as often as the promises want it, for hours; EFIO_SEED=n repeats. What
# a machine cannot do is skipped, and so is everything without root. S and B are the sources and the build.
set -u
logs=$B/fault-logs
mkdir -p "$logs" || exit 1
if [ "$(id -u)" != 0 ]; then
  echo "CHECK-FAULTS WAS SKIPPED: it needs root" >&2
  echo "0 passed, 0 failed, $# skipped"
  exit 0
fi
for test in "$@"; do
  shift
  name=${test##*/}
  case " ${FAULTS:-${name%.sh}} " in *" ${name%.sh} "*) set -- "$@" "$test" ;; esac
done
[ $# -gt 0 ] || { echo "none of the tests is called so: ${FAULTS-}" >&2; exit 1; }

rm -f "$logs/count"
EFIO_TEST_SECONDS=${EFIO_TEST_SECONDS:-$([ -n "${EFIO_LONG-}" ] && echo 14400 || echo 300)} \
  "$S/tools/run-tests.sh" "$logs" "$@" | sed '$d'
read -r passed _ failed _ skipped _ <"$logs/count" || exit 1
echo "$passed passed, ${failed%,} failed, ${skipped:-0} skipped"
[ "${failed%,}" = 0 ]

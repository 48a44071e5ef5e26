#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tools/run-tests.sh itself: it counts, fails, skips and stops as it says.
set -u
work=$(mktemp -d "$B/runner.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
unset SAN EFIO_WRAP EFIO_LONG
bad=0

program() { # NAME, body on standard input
  { echo '#!/bin/sh'; cat; } >"$work/$1"
  chmod +x "$work/$1"
}
# expect COUNT-LINE EXIT PROGRAM...
expect() {
  line=$1 code=$2
  shift 2
  for name; do set -- "$@" "$work/$name"; shift; done
  out=$("$S/tools/run-tests.sh" "$work/logs" "$@")
  got=$?
  last=$(echo "$out" | tail -n 1)
  [ "$last" = "$line" ] && [ $got = "$code" ] || { echo "wanted '$line' ($code), got '$last' ($got)"; bad=1; }
}

program plain </dev/null
program skipping <<'END'
echo "no such disk"; exit 77
END
program failing <<'END'
exit 3
END
program test_good <<'END'
printf '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  SKIPPED ] b\n[  SKIPPED ] 1 test(s), listed below:\n'
printf '[  SKIPPED ] b\n'
END
program test_half <<'END'
printf '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n'; exit 1
END
program test_dies <<'END'
printf '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n'; kill -SEGV $$
END
program test_dies_late <<'END'
printf '[ RUN      ] a\n[       OK ] a\n'; exit 134
END
program test_empty </dev/null
program slow <<'END'
sleep 100
END

expect "1 passed, 0 failed" 0 plain
expect "2 passed, 0 failed, 2 skipped" 0 plain skipping test_good
expect "1 passed, 1 failed" 1 plain failing
expect "1 passed, 1 failed" 1 test_half
expect "1 passed, 1 failed" 1 test_dies
expect "1 passed, 1 failed" 1 test_dies_late
expect "0 passed, 1 failed" 1 test_empty
expect "0 passed, 0 failed, 1 skipped" 1 skipping
export EFIO_TEST_SECONDS=1
expect "0 passed, 1 failed" 1 slow
exit $bad

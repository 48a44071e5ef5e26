#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs tests one after the other: run-tests.sh LOGS TEST... A test is a program or a script that exits 0 (passed),
# 77 (skipped) or anything else (failed); of cmocka programs the single tests are counted. EFIO_WRAP is put before each
# program; EFIO_TEST_SECONDS bounds each. An argument engine=NAME sets EFIO_ENGINE for those behind it. The last line is
# the count.
set -u
logs=$1
shift
mkdir -p "$logs" || exit 1
seconds=${EFIO_TEST_SECONDS:-900}
[ -z "${EFIO_LONG-}" ] || seconds=${EFIO_TEST_SECONDS:-3600}
wrap=${EFIO_WRAP-}
passed=0 failed=0 skipped=0
unset MAKEFLAGS MFLAGS MAKELEVEL

# Addresses at random places are more than the ThreadSanitizer of some compilers can bear.
case ${SAN-} in
  thread)
    tsan=halt_on_error=1:second_deadlock_stack=1:${TSAN_OPTIONS-}
    setarch "$(uname -m)" -R true 2>/dev/null && wrap="setarch $(uname -m) -R $wrap" ;;
  undefined) export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS-}" ;;
esac

count() { grep -a -o "$1" "$log" | wc -l; }

for test in "$@"; do
  case $test in engine=*) export EFIO_ENGINE="${test#engine=}"; continue ;; esac
  name=${test##*/}${EFIO_ENGINE+@$EFIO_ENGINE}
  log=$logs/$name.log
  [ "${SAN-}" != thread ] || case $test in
    *_uv_*) export TSAN_OPTIONS="$tsan:suppressions=${0%/*}/tsan-libuv.supp" ;;
    *) export TSAN_OPTIONS="$tsan" ;;
  esac
  started=$(date +%s%N)
  case $test in
    */faults/*.sh) timeout -k 20 "$seconds" "$test" "$B" ;;
    *.sh) timeout -k 10 "$seconds" "$test" ;;
    *) timeout -k 10 "$seconds" $wrap "$test" ;;
  esac >"$log" 2>&1 </dev/null
  rc=$?
  took=$((($(date +%s%N) - started) / 1000000))
  took=$((took / 1000)).$(printf %03d $((took % 1000)))
  [ $rc != 124 ] && [ $rc != 137 ] || echo "stopped after $seconds s" >>"$log"
  ran=$(count '\[ RUN      \]')
  if [ "$ran" = 0 ]; then
    # Not cmocka, or it died before its first test. A cmocka program that ran nothing has failed.
    good=0 bad=0 left=0
    case $rc:${test##*/} in
      0:test_*.sh | 77:*.sh | 77:*) ;;
      0:test_*) rc=1; echo "no test was run" >>"$log" ;;
    esac
    case $rc in 0) good=1 ;; 77) left=1 ;; *) bad=1 ;; esac
  else
    good=$(count '\[       OK \]')
    left=$(grep -a '\[  SKIPPED \] [^0-9]' "$log" | sort -u | wc -l)
    bad=$((ran - good - left))
    [ $rc = 0 ] || [ $bad -gt 0 ] || bad=1
  fi
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left))
  if [ $bad -gt 0 ]; then
    echo "FAIL  $name  ($bad of $((good + bad + left)), exit $rc, $took s)"
    echo "---- $log"
    tail -n 200 "$log"
    echo "----"
  elif [ $good = 0 ]; then
    echo "skip  $name  ($(tail -n 1 "$log"))"
  else
    echo "ok    $name  ($good$([ $left = 0 ] || echo ", $left skipped"), $took s)"
  fi
done

line="$passed passed, $failed failed"
[ $skipped = 0 ] || line="$line, $skipped skipped"
echo "$line" | tee "$logs/count"
[ $failed = 0 ] && [ $passed -gt 0 ]

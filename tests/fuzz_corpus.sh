#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The sequences of calls that a fuzzer has found worth keeping (make fuzz) are played again.
set -u
[ -x "$B/tests/stress_world" ] || {
  echo "stress_world is not built"
  exit 77
}
"$B/tests/stress_world" "$S"/tests/fuzz/corpus/*

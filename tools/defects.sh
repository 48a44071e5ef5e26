#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Puts the defects of tests/defects/ into copies of the library, one at a time, and expects the test that each of them
# names to fail, or not to end: defects.sh. S and B are the sources and a build of them, whose objects are used; neither
# is changed. One line a defect; the last line is "N defects, N caught". DEFECTS='name ...' puts in only these; JOBS
# (default: processors); EFIO_TEST_SECONDS bounds each test (default 60; less where it is quick without the defect);
# EFIO_VERBOSE=DIR keeps what each of them said.
#
# A list has, for each defect:      name: what is broken, in a line
#   where it is put                   in FILE, or: in FILE alone, a header that the test includes: no library is made
#   the test that has to notice       by [NAME=VALUE...] PROGRAM [TEST], or faults/SCRIPT.sh, as root; TEST as of cmocka
#   the old text, which is in FILE  - ...
#   once, and the new one           + ... (or none; several pairs are one defect)
# Each such test is run without a defect first, and has to pass.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL
seconds=${EFIO_TEST_SECONDS:-60}
list() { cat "$S"/tests/defects/*.list; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# ---- One defect; also the run of a test: 0 passed, 1 failed, 77 skipped, 124 no end

# run TREE SECONDS TEST...: of [NAME=VALUE...] PROGRAM [TEST], its output to TREE/log.
run() {
  tree=$1 limit=$2
  shift 2
  set -- env "$@"
  for word in "$@"; do # behind the settings stand the program and the filter
    shift
    case $word in
      env | *=*) set -- "$@" "$word" ;;
      faults/*) set -- "$@" "$tree/tests/$word" "$tree/build" ;;
      test_* | stress_*) set -- "$@" "LD_PRELOAD=$work/only.so" "$tree/build/tests/$word" ;;
      *) set -- "EFIO_ONLY=$word" "$@" ;;
    esac
  done
  case $1 in EFIO_ONLY=*) set -- env "$@" ;; esac
  S=$tree B=$tree/build TMPDIR=$work/tmp timeout -k 20 "$limit" "$@" >"$tree/log" 2>&1 </dev/null
  rc=$?
  case $rc in
    0) grep -aq '\[       OK \]' "$tree/log" && return 0 # and not all of them skipped
      case $* in *.sh*) return 0 ;; *) return 77 ;; esac ;;
    77 | 124) return $rc ;;
    137) return 124 ;;
  esac
  return 1
}

# programs_of TEST...: what has to be made for it.
programs_of() {
  for word in "$@"; do
    case $word in
      *=*) ;;
      faults/*) sed -n 's/^need_program //p' "$S/tests/$word" | sed 's|[^ ][^ ]*|build/tests/faults/&|g'; return ;;
      *) echo "build/tests/$word"; return ;;
    esac
  done
}
# control_of TEST...: the file with how it ended without a defect, and its time limit.
control_of() { echo "$work/control/$(echo "$*" | tr ' /' '__')"; }
build() { # TREE TARGET OPTION...
  tree=$1
  shift
  ${MAKE:-make} -C "$tree" B=build CONFIG="$B/config.mk" "$@" >"$tree/log" 2>&1
}

# A copy of the tree that shares its files, but for those that a compiler writes to without making them anew.
copy() {
  cp -al "$work/base" "$1" && find "$1/build" \( -name '*.d' -o -name '*.log' \) -exec sed -i '' {} +
}

# shellcheck disable=SC2046,SC2086 # lists of words, here and below
try() { # NAME FILE HOW TEST BROKEN
  name=$1 tree=$work/at/$1 started=$(now_ms)
  read -r control limit <"$(control_of $4)"
  case $control in
    0) ;;
    77) verdict "skipped   $name: $4 was skipped without it"; return ;;
    *) verdict "UNKNOWN   $name: $4 fails without it"; return ;;
  esac
  copy "$tree" && cp --remove-destination "$S/$2" "$tree/$2" && chmod u+w "$tree/$2" || return
  if ! list | awk -v name="$name" -v tree="$tree" -f "$S/tools/defects.awk" 2>"$tree/log"; then
    verdict "STALE     $(cat "$tree/log")"
    return
  fi
  alone=
  [ "$3" != alone ] || alone='-o build/libefio.a'
  if ! build "$tree" $(programs_of $4) $alone; then
    verdict "STALE     $name: does not build: $(grep -m 1 error: "$tree/log")"
    return
  fi
  began=$(now_ms)
  run "$tree" "$limit" $4
  case $? in
    0) how="SURVIVES  $name: $5" ;;
    77) how="SURVIVES  $name: its test was skipped" ;;
    124) how="caught    $name: no end" ;;
    *) how="caught    $name" ;;
  esac
  verdict "$how  ($(((began - started) / 1000)) + $((($(now_ms) - began) / 1000)) s, $4)"
}
verdict() {
  echo "$1" | tee "$work/verdict/$name"
  [ -z "${EFIO_VERBOSE-}" ] || [ ! -e "$tree/log" ] || cp "$tree/log" "$EFIO_VERBOSE/$name.log"
  rm -rf "$tree"
}
if [ "${1-}" = --try ]; then
  work=$2
  list | awk -f "$S/tools/defects.awk" | grep "^$3	" >"$work/row.$3" || exit 1
  IFS='	' read -r name file how test broken <"$work/row.$3"
  try "$name" "$file" "$how" "$test" "$broken"
  exit 0
fi

# ---- All

work=$(mktemp -d "${TMPDIR:-$B}/defects.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/base" "$work/at" "$work/control" "$work/verdict" "$work/tmp" || exit 1
list | awk -f "$S/tools/defects.awk" >"$work/all" || exit 1
for name in ${DEFECTS-}; do
  grep "^$name	" "$work/all" || { echo "no defect is called $name" >&2; exit 1; }
done >"$work/rows"
[ -n "${DEFECTS-}" ] || cp "$work/all" "$work/rows"

# The sources and the objects, with paths that are the same in each copy.
for part in Makefile tools include src lockfree adapters tests; do cp -a "$S/$part" "$work/base/" || exit 1; done
chmod -R u+w "$work/base"
mkdir -p "$work/base/build/obj"
for part in src lockfree adapters tests; do
  [ ! -d "$B/obj/$part" ] || cp -a "$B/obj/$part" "$work/base/build/obj/"
done
cp -a "$B"/*.a "$work/base/build/" 2>/dev/null
top=$(cd "$S" && pwd)
find "$work/base/build" -name "*.d" -exec sed -i -e "s|$B/|build/|g" -e "s|$top/|./|g" \
  -e "s| \(\.\./\)\{1,\}| ./|g" {} +
rm -f "$work/base/build/obj/tests/"fuzz/*
${CC:-cc} -shared -fPIC "$S/tests/defects/only.c" -o "$work/only.so" -lcmocka || exit 1

# Each test without a defect: 0, 77 or a failure, and how long it may take with one.
cut -f 4 "$work/rows" | sort -u >"$work/tests"
while read -r test; do
  # shellcheck disable=SC2046,SC2086
  case $test in
    *faults/*)
      if [ "$(id -u)" != 0 ]; then
        echo "SKIPPED, IT NEEDS ROOT: $test" >&2
        echo 77 0 >"$(control_of $test)"
        continue
      fi ;;
  esac
  # shellcheck disable=SC2046,SC2086
  build "$work/base" $(programs_of $test) || { tail -n 20 "$work/base/log"; exit 1; }
  started=$(now_ms)
  # shellcheck disable=SC2086
  run "$work/base" "$seconds" $test
  rc=$?
  limit=$((5 + ($(now_ms) - started) / 125))
  [ $limit -lt "$seconds" ] || limit=$seconds
  # shellcheck disable=SC2086
  echo "$rc $limit" >"$(control_of $test)"
  case $rc in
    0) ;;
    77) echo "SKIPPED without a defect: $test: $(tail -n 1 "$work/base/log")" >&2 ;;
    *) echo "FAILS WITHOUT A DEFECT: $test"; tail -n 30 "$work/base/log" ;;
  esac
done <"$work/tests"

cut -f 1 "$work/rows" | xargs -P "${JOBS:-$(nproc)}" -n 1 "$0" --try "$work"
count() { cat "$work"/verdict/* 2>/dev/null | grep -c "^$1"; }
all=$(wc -l <"$work/rows") caught=$(count caught) skipped=$(count skipped)
echo "$all defects, $caught caught$([ "$skipped" = 0 ] || echo ", $skipped SKIPPED")"
[ "$caught" -gt 0 ] && [ "$all" = $((caught + skipped)) ]

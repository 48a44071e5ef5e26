#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# clang-tidy (.clang-tidy) and cppcheck (tools/cppcheck.supp) over src/, lockfree/, adapters/ and tools/efio/: no
# finding is let pass. S is the sources; HAVE_EV, HAVE_UV, HAVE_URING tell what is built.
set -u
cd "$S" || exit 1
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
bad=0
# By itself Concurrency Kit is another one for analysers, without the operations that are wanted here.
flags="-D_GNU_SOURCE -DCK_USE_CC_BUILTINS=0 -Iinclude -Ilockfree -Isrc"
[ "${HAVE_URING-}" != yes ] || flags="$flags -DEF_HAVE_URING=1"
sources=$(for file in src/*.cc lockfree/*.c adapters/*.c tools/efio/*.cc; do
  case $file in
    *_ev*) [ "${HAVE_EV-}" != yes ] || echo "$file" ;;
    *_uv*) [ "${HAVE_UV-}" != yes ] || echo "$file" ;;
    *) echo "$file" ;;
  esac
done)

# A file at a time: its errors, nothing of what is in other people's headers.
echo "$sources" | xargs -P 2 -I{} sh -c '
  case $1 in *.c) std=c11 ;; tools/*) std=c++20 ;; *) std="c++20 -fno-exceptions -fno-rtti" ;; esac
  clang-tidy --quiet "$1" -- -pthread -std=$std $2 2>/dev/null ||
    echo "$1: clang-tidy is not content"' sh {} "$flags" >"$log"
[ ! -s "$log" ] || { cat "$log"; bad=1; }

# It reads no headers of the system: names of theirs that it stumbles over are told here. Both sides of every #if would
# take hours.
# shellcheck disable=SC2086 # lists of words
cppcheck -q --std=c++20 --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
  --suppressions-list=tools/cppcheck.supp --template='{file}:{line}: {severity}: {message} [{id}]' \
  $flags -D__x86_64__ -DCK_F_PR_CAS_PTR_2_VALUE '-DEV_WATCHER(type)=int type' $sources 2>"$log" || bad=1
[ ! -s "$log" ] || { cat "$log"; bad=1; }

[ $bad = 1 ] || echo "clang-tidy and cppcheck find nothing in $(echo "$sources" | wc -l) files"
exit $bad

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the README and the manual show works: the programs of the README and of efio(7) print files, and every example
# of the manual compiles without a warning, those in C also as C++. S and B are the sources and the build.
set -u
if [ ! -e "$B/libefio.so" ]; then
  echo "libefio.so is not built"
  exit 77
fi
work=$(mktemp -d "$B/readme.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
cxx="${CXX:-c++} -std=c++20 -Wextra"
export LD_LIBRARY_PATH="$B${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
flags="-Wall -Werror ${SAN:+-fsanitize=$SAN} -I$S/include"
bad=0
tried=0
complain() {
  echo "$1"
  bad=1
}

# Programs of the README: a fenced block after <!-- tested: NAME -->.
readme_program() {
  awk -v mark="<!-- tested: $1 -->" '
    $0 == mark { found = 1; next }
    found && /^```/ { if (inside) exit; inside = 1; next }
    inside' "$S/README.md"
}

# Examples of a page: displays of the section EXAMPLES, each into DIRECTORY/NAME-NUMBER.c (.cc of a .hpp), as a reader
# would see them.
page_examples() {
  awk -v to="$2/$(basename "$1")" -v suffix="$(case $1 in *.hpp.*) echo .cc ;; *) echo .c ;; esac)" '
    /^\.Sh / { section = $2 }
    section != "EXAMPLES" { next }
    /^\.Bd / { inside = 1; file = to "-" ++number suffix; next }
    /^\.Ed/ { inside = 0; next }
    inside { gsub(/\\&/, ""); gsub(/\\(e|\\)/, "\\"); gsub(/\\-/, "-"); print >file }' "$1"
}

possible() { # SOURCE: its loop is here
  case $(cat "$1") in
    *efio_ev.h*) [ "${HAVE_EV-}" = yes ] && [ -e "$B/libefio-ev.so" ] ;;
    *efio_uv.h*) [ "${HAVE_UV-}" = yes ] && [ -e "$B/libefio-uv.so" ] ;;
  esac
}

libraries() { # SOURCE
  case $(cat "$1") in
    *efio_ev.h*) echo "-lefio-ev -lev" ;;
    *efio_uv.h*) echo "-lefio-uv -luv" ;;
  esac
}

compiler() { case $1 in *.cc) echo "$cxx" ;; *) echo "$cc" ;; esac; }

# run SOURCE LINE: it prints a file of some size byte for byte, a missing one not at all, and logs the line.
run() {
  program=${1%.c*}
  rm -f "$work/print.log"
  # shellcheck disable=SC2046,SC2086 # lists of words
  if ! $(compiler "$1") $flags "$1" -L"$B" $(libraries "$1") -lefio -o "$program"; then
    complain "$1: does not build"
    return
  fi
  (cd "$work" && timeout 60 "$program" "$work/input" >"$work/output") || complain "$1: failed"
  cmp "$work/input" "$work/output" || complain "$1: printed something else"
  [ -z "$2" ] || [ "$(cat "$work/print.log")" = "$2" ] || complain "$1: its log is not \"$2\""
  (cd "$work" && timeout 60 "$program" "$work/missing" >"$work/output" 2>"$work/errors") &&
    complain "$1: is content without its file"
  [ ! -s "$work/output" ] || complain "$1: printed a file that is not there"
  grep -qi 'no such file' "$work/errors" || complain "$1: does not say that a file is missing"
  (cd "$work" && EFIO_ENGINE=nonsense timeout 60 "$program" "$work/input" 2>&1) >"$work/errors" &&
    complain "$1: is content without an engine"
  grep -qi 'invalid argument' "$work/errors" || complain "$1: does not say that nothing can be opened"
  tried=$((tried + 1))
}

seq 1 400000 >"$work/input"
for name in print_ev.c print_uv.c print.cc; do
  readme_program $name >"$work/$name"
  [ -s "$work/$name" ] || { complain "README.md: no program $name"; continue; }
  possible "$work/$name" || continue
  case $name in
    *_ev*) run "$work/$name" "printed by libev" ;;
    *_uv*) run "$work/$name" "printed by libuv" ;;
    *) run "$work/$name" "printed by coroutine" ;;
  esac
done

# The one for random reads: blocks in the order of the arguments, from a loop of its own.
readme_program pick.c >"$work/pick.c"
# shellcheck disable=SC2086
if ! $cc $flags "$work/pick.c" -L"$B" -lefio -o "$work/pick"; then
  complain "pick.c: does not build"
else
  for block in 5 600 0; do dd if="$work/input" bs=4096 skip=$block count=1 status=none; done >"$work/blocks"
  timeout 60 "$work/pick" "$work/input" 5 600 0 >"$work/output" || complain "pick.c: failed"
  cmp "$work/blocks" "$work/output" || complain "pick.c: printed something else"
  timeout 60 "$work/pick" "$work/missing" 1 2>"$work/errors" && complain "pick.c: is content without its file"
  grep -qi 'no such file' "$work/errors" || complain "pick.c: does not say that a file is missing"
  timeout 60 "$work/pick" 2>"$work/errors" && complain "pick.c: is content without a name"
  grep -q usage "$work/errors" || complain "pick.c: does not say what it needs"
  tried=$((tried + 1))
fi

mkdir "$work/man"
for page in "$S"/man/*.[37]; do
  [ ! -e "$page" ] || page_examples "$page" "$work/man"
done
for source in "$work"/man/*.c "$work"/man/*.cc; do
  [ -e "$source" ] || continue
  case $(head -n 1 "$source") in '#include'*) ;; *) complain "${source##*/}: does not say what it includes" ;; esac
  possible "$source" || continue
  # shellcheck disable=SC2086
  $(compiler "$source") $flags -fsyntax-only "$source" || complain "${source##*/}: does not compile"
  case $source in *.c) # in a C++ program, too
    # shellcheck disable=SC2086
    $cxx -Wno-missing-field-initializers $flags -x c++ -fsyntax-only "$source" ||
      complain "${source##*/}: does not compile as C++" ;;
  esac
  tried=$((tried + 1))
done
for source in "$work/man/efio.7-1.c" "$work"/man/efio*.hpp.3-1.cc; do
  [ ! -e "$source" ] || ! possible "$source" || run "$source" ""
done

[ $tried -gt 0 ] || { echo "nothing to try"; exit 1; }
[ $bad = 1 ] || echo "$tried examples work"
exit $bad

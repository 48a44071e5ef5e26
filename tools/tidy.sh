#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The house rules that a program can check: sizes, first lines, floors, names, symbols against maps, headers and manual,
# versions, words, warnings. S and B are the sources and the build; says what is wrong, file by file.
set -u
cd "$S" || exit 1
bad=0
complain() {
  echo "$1"
  bad=1
}
# each_line MESSAGES: complains about every line, if there is any.
each_line() { [ -z "$1" ] || complain "$1"; }

code=$(find include lockfree src adapters examples bench tests tools \
  -name '*.[ch]' -o -name '*.cc' -o -name '*.hh' -o -name '*.hpp' 2>/dev/null)
# The corpus is a fuzzer's bytes.
scripts=$(find tools .ci tests -path tests/fuzz/corpus -prune -o -type f ! -name '*.[ch]' ! -name '*.cc' \
  ! -name '*.hh' -print)
scripts="Makefile configure.ac $scripts $(ls src/*.map src/*.in adapters/*.map adapters/*.in)"
pages=$(ls man/*.[137] 2>/dev/null)
all="$code $scripts $pages"

check_sizes() {
  # shellcheck disable=SC2086 # lists of words, here and below
  # The whole C interface is one header.
  each_line "$(wc -l $code $scripts | awk '
    { most = $2 == "include/efio.h" ? 600 : 400 }
    $2 != "total" && $1 > most { print $2 ": " $1 " lines, " most " at most" }')"
  # shellcheck disable=SC2086
  each_line "$(awk 'length($0) > 120 { print FILENAME ":" FNR ": more than 120 columns" }' $code $scripts)"
  # shellcheck disable=SC2086
  each_line "$(awk -v most=70 -f tools/functions.awk $code)"
}

check_first_lines() {
  for file in $all; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || complain "$file: no licence line at the top"
  done
}

check_words() {
  # Spelled apart, so that this file passes.
  # shellcheck disable=SC2086
  each_line "$(grep -nwE 'TO''DO|FIX''ME|X''XX|HA''CK' $all)"
  # shellcheck disable=SC2086
  each_line "$(grep -nE '[[:blank:]]+$' $code | sed 's/:[^:]*$/: blanks at the end of the line/')"
}

floor_of() { # FILE -> number, or nothing
  name=${1##*/}
  name=${name%.*}
  [ ! -e "lockfree/${1##*/}" ] || { echo 0; return; }
  awk -v name="$name" '/^[0-9]/ { for (i = 2; i <= NF; ++i) if ($i == name) print $1 }' tools/floors.txt
}

includes_of() { sed -n 's/^[ \t]*#[ \t]*include "\([^"]*\)".*/\1/p' "$1"; }

check_floors() {
  for file in lockfree/*.[ch] lockfree/*.hh src/*.cc src/*.hh; do
    [ -e "$file" ] || continue
    mine=$(floor_of "$file")
    [ -n "$mine" ] || { complain "$file: tools/floors.txt gives it no floor"; continue; }
    for included in $(includes_of "$file"); do
      [ "$included" != efio.h ] || [ "$mine" = 0 ] || continue
      theirs=$(floor_of "$included")
      [ "${theirs:-9}" -le "$mine" ] || complain "$file: floor $mine includes $included of floor ${theirs:-unknown}"
    done
  done
  for file in adapters/*.[ch] adapters/*.cc examples/*.[ch] examples/*.cc tools/efio/*.cc tools/efio/*.hh; do
    [ -e "$file" ] || continue
    for included in $(includes_of "$file"); do
      [ -e "include/$included" ] || [ -e "${file%/*}/$included" ] || complain "$file: includes $included of the inside"
    done
  done
}

symbols_of() { sed -n 's/^ *\([a-z][a-z0-9_]*\);.*/\1/p' "$1" | sort; }

check_symbols() { # MAP HEADER LIBRARY
  [ -e "include/$2" ] || return 0
  wanted=$(symbols_of "$1")
  documented=$(tools/man-names.sh $pages | awk '$2 == 3 { print $1 }')
  declared=$(sed 's|/\*.*\*/||' "include/$2" | tr '\n' ' ' | grep -oE '\bef_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)
  for symbol in $wanted; do
    case $symbol in ef_*) ;; *) complain "$1: $symbol does not begin with ef_" ;; esac
    echo "$declared" | grep -qx "$symbol" || complain "$1: $symbol is not declared in $2"
    echo "$documented" | grep -qx "$symbol" || complain "$1: $symbol has no page in man/"
  done
  [ -e "$B/$3" ] || return 0
  exported=$(nm -D --defined-only "$B/$3" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
  [ "$exported" = "$wanted" ] ||
    complain "$3: exports differ from $1: $(printf '%s\n' "$exported" "$wanted" | sort | uniq -u | tr '\n' ' ')"
}

check_headers() {
  for file in include/*.h; do
    each_line "$(grep -nE '^#define [^eE]|^#define [eE][^fF]' "$file" | sed "s|^|$file: a macro without EF_: |")"
  done
  version=$(sed -n 's/^#define EF_VERSION_[A-Z]* //p' include/efio.h | paste -sd. -)
  grep -qF "[$version]" configure.ac || complain "configure.ac: the version is not $version of efio.h"
  grep -qF "efio $version" CHANGELOG || complain "CHANGELOG: nothing about version $version"
}

# g++ has spoken while the objects were made; clang++, where it is installed, looks at the same files.
check_warnings() {
  for file in $code; do
    case $file in *.c | *.cc) log=$B/obj/${file%.*}.log ;; *) continue ;; esac
    [ ! -s "$log" ] || each_line "$(grep -E '(error|warning):' "$log" | head -n 3)"
  done
  command -v clang++ >/dev/null 2>&1 || return 0
  find_flags="-fsyntax-only -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -Iinclude -Ilockfree -Isrc -Itests -Ibench"
  [ "${HAVE_URING-}" != yes ] || find_flags="$find_flags -DEF_HAVE_URING=1"
  spdlog=$(pkg-config --cflags spdlog 2>/dev/null || true)
  sources=$(for file in $code; do
    case $file in
      tests/*/*) ;;
      *ev*.c*) [ "${HAVE_EV-}" != yes ] || echo "$file" ;;
      *uv*.c*) [ "${HAVE_UV-}" != yes ] || echo "$file" ;;
      *.c | *.cc) echo "$file" ;;
    esac
  done)
  report=$(echo "$sources" | xargs -P 2 -I{} sh -c '
    case $1 in *.c) compiler="clang -std=c11" ;; *) compiler="clang++ -std=c++20" ;; esac
    $compiler $2 "$1" 2>&1 | grep -E "(error|warning):" | head -n 3' sh {} "$find_flags $spdlog")
  each_line "$(echo "$report" | sort -u)"
}

check_sizes
check_first_lines
check_words
check_floors
check_symbols src/efio.map efio.h libefio.so
check_symbols adapters/efio-ev.map efio_ev.h libefio-ev.so
check_symbols adapters/efio-uv.map efio_uv.h libefio-uv.so
check_headers
check_warnings
[ $bad = 1 ] || echo "the house is tidy"
exit $bad

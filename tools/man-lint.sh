#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every manual page is clean under mandoc -T lint, and every page of ours that it refers to exists.
set -u
mandoc=${MANDOC:-mandoc}
if ! command -v "$mandoc" >/dev/null 2>&1; then
  echo "MAN PAGES NOT CHECKED: mandoc is missing (make setup)"
  exit 77
fi
cd "$S" || exit 1
set -- man/*.[137]
if [ ! -e "$1" ]; then
  echo "no manual pages"
  exit 77
fi
bad=0
names=$(tools/man-names.sh "$@")
for page in "$@"; do
  # Which pages a machine has installed is not the page's fault; those of ours are looked for below.
  report=$("$mandoc" -T lint "$page" 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db')
  [ -z "$report" ] || { echo "$report"; bad=1; }
  # mandoc takes a lone sign in a shown line for one of a sentence and moves it to the word before, without a warning.
  ! grep -nHE '^\.Dl .* [].,:;?!)]( |$)' "$page" || bad=1
  for reference in $(awk '$1 == ".Xr" && $2 ~ /^(ef_|efio)/ { print $2 ":" $3 }' "$page" | sort -u); do
    echo "$names" | grep -q "^${reference%:*} ${reference#*:} " || { echo "$page: no page $reference"; bad=1; }
  done
done
[ $bad = 1 ] || echo "$# pages are clean"
exit $bad

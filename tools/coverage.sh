#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Lines and branches of src/, lockfree/ and adapters/ that the programs of a build with --coverage have run so far: a
# table, also in B/coverage.txt, and what they have not run, as FILE:LINE, in B/uncovered.txt. S and B are the sources
# and the build; GCOV may name the gcov that belongs to the compiler.
set -u
# As the objects name them: by the directory in which make ran.
only="^($(echo "$S/" | sed 's|^\./||; s/[.+]/\\&/g'))?(src|lockfree|adapters)/"
notes=$(find "$B/obj" -name '*.gcda')
[ -n "$notes" ] || { echo "nothing was run under $B" >&2; exit 1; }
# One call an object: gcov sums up what it is given together, but knows no two objects of a name.
for note in $notes; do
  ${GCOV:-gcov} -t -b -c "$note" 2>/dev/null
done | awk -v only="$only" -v missed="$B/uncovered.txt" -f "$S/tools/coverage.awk" >"$B/coverage.txt" || exit 1
cat "$B/coverage.txt"
echo "not run: $B/uncovered.txt, $(wc -l <"$B/uncovered.txt") lines"

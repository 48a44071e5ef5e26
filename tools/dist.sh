#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Makes the release archive B/efio-VERSION.tar.gz: what is committed, and configure. One commit gives always the same
# bytes.
set -eu
name=efio-$VERSION
work=$B/dist
if ! commit=$(git -C "$S" rev-parse --verify HEAD 2>/dev/null); then
  echo "dist needs the git repository" >&2
  exit 1
fi
[ -z "$(git -C "$S" status --porcelain)" ] || echo "dist: changes that are not committed stay out" >&2
rm -rf "$work"
mkdir -p "$work"
git -C "$S" archive --prefix="$name/" "$commit" | tar -x -C "$work"
# configure belongs to the committed configure.ac, not to one that is being edited.
(cd "$work/$name" && autom4te --no-cache --language=autoconf -o configure configure.ac)
tar --sort=name --mtime="@$(git -C "$S" log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
  -C "$work" -c "$name" | gzip -9n >"$B/$name.tar.gz"
rm -rf "$work"
echo "  DIST $B/$name.tar.gz"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Tries the release archive as a packager would: unpacked read-only, built elsewhere, tested, installed, removed.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
name=efio-$VERSION
work=$(mktemp -d "$B/distcheck.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
tar -xzf "$B/$name.tar.gz" -C "$work"
(cd "$work/$name" && find . -type f -exec cksum {} + | sort) >"$work/before"
chmod -R a-w "$work/$name"
mkdir "$work/o"
cd "$work/o"
"../$name/configure" --prefix=/opt/efio
${MAKE:-make}
${MAKE:-make} check-quick
# The trial installation, on this build.
S=$work/$name B=$work/o "$work/$name/tools/check-install.sh"
# root may write where nobody may: the sources must be as they were.
(cd "$work/$name" && find . -type f -exec cksum {} + | sort) >"$work/after"
cmp "$work/before" "$work/after"
echo "  DISTCHECK $name.tar.gz is good"

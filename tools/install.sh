#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# install.sh install|uninstall: one list of files, put in place or taken away. The Makefile gives S (sources),
# B (build), DESTDIR, VERSION, MAJOR, PARTS and the directories in the environment.
set -eu
action=$1
bin=$DESTDIR$bindir lib=$DESTDIR$libdir include=$DESTDIR$includedir man=$DESTDIR$mandir

say() { echo "  $(echo "$action" | tr '[:lower:]' '[:upper:]') $1"; }

# put FILE TARGET MODE
put() {
  if [ "$action" = install ]; then install -D -m "$3" "$1" "$2"; else rm -f "$2"; fi
}
# alias OF TARGET
alias() {
  if [ "$action" = install ]; then ln -sf "$1" "$2"; else rm -f "$2"; fi
}
# A pkg-config file with today's directories, which may differ from those of configure.
describe() {
  if [ "$action" != install ]; then rm -f "$2"; return; fi
  mkdir -p "${2%/*}"
  sed -e "s|@prefix@|$prefix|; s|@libdir@|$libdir|; s|@includedir@|$includedir|" \
    -e "s|@VERSION@|$VERSION|; s|@URING_LIBS@|$URING_LIBS|" "$1" >"$2"
}

# The C++ face: one header for users, and those that it is made of.
cxx() {
  put "$S/include/efio.hpp" "$include/efio.hpp" 644
  for file in "$S"/include/efio/*.hpp; do put "$file" "$include/efio/${file##*/}" 644; done
  [ "$action" = install ] || rmdir "$include/efio" 2>/dev/null || true
}

for part in $PARTS; do
  case $part in
    efio) home=src header=efio.h ;;
    *) home=adapters header=$(echo "$part" | tr - _).h ;;
  esac
  say "$part: $include, $lib"
  put "$S/include/$header" "$include/$header" 644
  if [ "$part" = efio ]; then cxx; else put "$S/include/${header}pp" "$include/${header}pp" 644; fi
  put "$B/lib$part.a" "$lib/lib$part.a" 644
  if [ "$action" = uninstall ] || [ -e "$B/lib$part.so" ]; then
    put "$B/lib$part.so.$VERSION" "$lib/lib$part.so.$VERSION" 755
    alias "lib$part.so.$VERSION" "$lib/lib$part.so.$MAJOR"
    alias "lib$part.so.$VERSION" "$lib/lib$part.so"
  fi
  describe "$S/$home/$part.pc.in" "$lib/pkgconfig/$part.pc"
done

if [ "$action" = uninstall ] || [ -e "$B/efio" ]; then
  say "efio: $bin"
  put "$B/efio" "$bin/efio" 755
fi

say "manual: $man"
for page in "$S"/man/*.[137]; do
  case $page in */efio_*.7) continue ;; esac # of the inside, whose headers are not installed
  [ -e "$page" ] || continue
  put "$page" "$man/man${page##*.}/${page##*/}" 644
done
# Names that share a page are links to it.
[ ! -d "$S/man" ] || "$S/tools/man-names.sh" "$S"/man/*.3 2>/dev/null | while read -r name section file; do
  [ -e "$S/man/$name.$section" ] || alias "$file" "$man/man$section/$name.$section"
done

# On the living system the loader is told, if we may.
if [ "$action" = install ] && [ -z "$DESTDIR" ]; then PATH=$PATH:/sbin:/usr/sbin ldconfig 2>/dev/null || true; fi

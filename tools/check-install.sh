#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A trial installation: every file in its place, a program builds against it by pkg-config, shared and static, and
# uninstall leaves nothing. S and B are the sources and the build.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
if [ ! -e "$B/libefio.so" ]; then
  echo "libefio.so is not built"
  exit 77
fi
work=$(mktemp -d "$B/install.XXXXXX")
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}

in_build() { ${MAKE:-make} -s -f "$S/Makefile" B="$B" DESTDIR="$work/root" prefix=/opt/efio "$@"; }

in_build install
root=$work/root/opt/efio
for file in bin/efio share/man/man1/efio.1 include/efio.h include/efio.hpp \
  lib/libefio.a lib/libefio.so lib/libefio.so.0 lib/pkgconfig/efio.pc; do
  test -e "$root/$file" || { echo "not installed: $file"; exit 1; }
done
dangling=$(find "$root" -xtype l)
[ -z "$dangling" ] || { echo "dangling links: $dangling"; exit 1; }

cat >"$work/user.c" <<'END'
#include <efio.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
  const char text[] = "hello\n";
  int fd = ef_open(argv[argc - 1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ef_write(fd, text, strlen(text)) != 6 || ef_close(fd) || ef_drain(NULL, 10000)) return 1;
  printf("%s\n", ef_version());
  return 0;
}
END
command -v pkg-config >/dev/null 2>&1 || { echo "pkg-config is missing"; exit 77; }
export PKG_CONFIG_PATH="$root/lib/pkgconfig"
# The files name the place of use, not the trial one.
flags() { pkg-config "$@" | sed "s|/opt/efio/|$root/|g"; }

# shellcheck disable=SC2046 # lists of words, here and below
$cc "$work/user.c" $(flags --cflags --libs efio) -o "$work/shared"
# shellcheck disable=SC2046
$cc "$work/user.c" $(flags --cflags --libs --static efio | sed "s|-lefio|-l:libefio.a|") -o "$work/static"
for how in shared static; do
  rm -f "$work/out"
  LD_LIBRARY_PATH=$root/lib "$work/$how" "$work/out"
  [ "$(cat "$work/out")" = hello ] || { echo "$how: wrong bytes"; exit 1; }
done
if ldd "$work/static" | grep -q libefio; then echo "the static program wants the shared library"; exit 1; fi
if ldd "$root/lib/libefio.so" | grep -q 'libstdc++'; then echo "libefio.so wants libstdc++"; exit 1; fi

# The C++ face, from where it was put.
cat >"$work/user.cc" <<'END'
#include <efio.hpp>
#include <fcntl.h>
int main(int argc, char **argv) {
  auto file = ef::file::open(argv[argc - 1], O_WRONLY | O_CREAT | O_TRUNC, {.mode = 0600});
  return file && file->write("hello\n") && file->close() && ef_drain(nullptr, 10000) == 0 ? 0 : 1;
}
END
# shellcheck disable=SC2046
${CXX:-c++} -std=c++20 "$work/user.cc" $(flags --cflags --libs efio) -o "$work/cxx"
rm -f "$work/out"
LD_LIBRARY_PATH=$root/lib "$work/cxx" "$work/out"
[ "$(cat "$work/out")" = hello ] || { echo "C++: wrong bytes"; exit 1; }

# Each adapter: its header, its flags, and a name of it; and its C++ face.
for part in efio-ev efio-uv; do
  [ -e "$root/lib/pkgconfig/$part.pc" ] || continue
  name=$(sed -n 's/^ *\(ef_[a-z_]*\);.*/\1/p' "$S/adapters/$part.map" | head -n 1)
  header=$(echo $part | tr - _).h
  printf '#include <%s>\nint main(void) { return (void (*)(void))%s == 0; }\n' "$header" "$name" >"$work/$part.c"
  # shellcheck disable=SC2046
  $cc "$work/$part.c" $(flags --cflags --libs $part) -o "$work/$part"
  LD_LIBRARY_PATH=$root/lib "$work/$part"
  printf '#include <%spp>\nint main() { return sizeof(ef::%s_port) == 0; }\n' "$header" "${part#efio-}" \
    >"$work/$part.cc"
  # shellcheck disable=SC2046
  ${CXX:-c++} -std=c++20 "$work/$part.cc" $(flags --cflags --libs $part) -o "$work/$part-cxx"
  LD_LIBRARY_PATH=$root/lib "$work/$part-cxx"
done

# The command runs without the library's directory being known.
version=$(LD_LIBRARY_PATH=$root/lib "$work/shared" "$work/out")
[ "$("$root/bin/efio" --version)" = "efio $version" ] || { echo "efio --version is not $version"; exit 1; }

in_build uninstall
left=$(find "$work/root" ! -type d)
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }

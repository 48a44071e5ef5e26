#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Installs what building, testing and the demo need and this machine lacks; with --bench also the loggers that the
# benchmark measures beside efio, with --check-faults what makes and breaks disks for the fault tests: both can do
# without; with --valgrind, --analyse and --fuzz what those targets run. Silent when nothing is missing. A file given as
# argument is touched if something was installed.
set -u
bench='' faults='' valgrind='' analyse='' fuzz=''
while :; do
  case ${1-} in
    --bench) bench=yes ;;
    --check-faults) faults=yes ;;
    --valgrind) valgrind=yes ;;
    --analyse) analyse=yes ;;
    --fuzz) fuzz=yes ;;
    *) break ;;
  esac
  shift
done
stamp=${1-}
packages= wishes=

need() { packages="$packages $1"; }
wish() { wishes="$wishes $1"; }
tool() { command -v "$1" >/dev/null 2>&1 || need "$2"; }
header() { printf '#include <stdio.h>\n#include <%s>\n' "$1" | ${CC:-cc} -E - >/dev/null 2>&1 || need "$2"; }
# cmocka.h wants these before it.
cmocka() {
  printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <cmocka.h>\n' |
    ${CC:-cc} -E - >/dev/null 2>&1 || need libcmocka-dev
}

find_missing() {
  packages=
  tool "${CXX:-g++}" g++
  tool autom4te autoconf
  tool pkg-config pkg-config
  tool mandoc mandoc
  tool curl curl
  tool strace strace
  tool taskset util-linux
  tool nm binutils
  header ck_pr.h libck-dev
  header ev.h libev-dev
  header uv.h libuv1-dev
  header liburing.h liburing-dev
  cmocka
  pkg-config --exists spdlog 2>/dev/null || need libspdlog-dev
  pkg-config --exists fmt 2>/dev/null || need libfmt-dev
  [ -z "$valgrind" ] || tool valgrind valgrind
  [ -z "$analyse" ] || { tool clang-tidy clang-tidy; tool cppcheck cppcheck; }
  [ -z "$fuzz" ] || tool clang++ clang
}

find_loggers() {
  pkg-config --exists libglog 2>/dev/null || wish libgoogle-glog-dev
  pkg-config --exists log4cplus 2>/dev/null || wish liblog4cplus-dev
  printf '#if !__has_include(<boost/log/core.hpp>)\n#error\n#endif\n' | ${CXX:-g++} -E -x c++ - >/dev/null 2>&1 ||
    wish libboost-log-dev
}
find_breakers() {
  command -v mkfs.ext4 >/dev/null 2>&1 || wish e2fsprogs
  command -v mkfs.xfs >/dev/null 2>&1 || wish xfsprogs
  command -v fusermount3 >/dev/null 2>&1 || wish fuse3
  pkg-config --exists fuse3 2>/dev/null || wish libfuse3-dev
}

apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"; }

find_missing
if [ -n "$packages" ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing, by their Debian names:$packages" >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
  else
    command -v sudo >/dev/null 2>&1 && ask="sudo sh -c" || ask="su -c"
    echo "something is missing; this command installs it:" >&2
    echo "  $ask 'apt-get update && apt-get install -y --no-install-recommends$packages'" >&2
    exit 1
  fi
  echo "  SETUP$packages"
  # Lists that are absent or too old to name what the archive has now are fetched, once.
  # shellcheck disable=SC2086 # a list of words
  apt install --no-install-recommends $packages >/dev/null 2>&1 ||
    { apt update && apt install --no-install-recommends $packages; } >&2 || exit 1
  find_missing
  if [ -n "$packages" ]; then
    echo "still missing after the installation:$packages" >&2
    exit 1
  fi
  [ -z "$stamp" ] || touch "$stamp"
fi

# Nobody is asked for a password for these, and nothing depends on them.
[ -z "$bench" ] || find_loggers
[ -z "$faults" ] || find_breakers
if [ -n "$wishes" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  as_root=
  echo "  SETUP$wishes"
  # shellcheck disable=SC2086 # a list of words
  if apt install --no-install-recommends $wishes >/dev/null 2>&1 ||
    { apt update && apt install --no-install-recommends $wishes; } >/dev/null 2>&1; then
    [ -z "$stamp" ] || touch "$stamp"
  else
    echo "not installed, what needs them is left out:$wishes" >&2
  fi
fi

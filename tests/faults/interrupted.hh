// SPDX-License-Identifier: BSD-2-Clause
// The C library's calls that the library's wrappers make, with every n-th one interrupted before it has done anything.
// Definitions: for one source file of a program, which links the archive.
#ifndef EF_TESTS_FAULTS_INTERRUPTED_HH
#define EF_TESTS_FAULTS_INTERRUPTED_HH

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>

namespace interrupted {

inline std::atomic<long> every{0}, calls{0}, count{0}; // every: 0 none

inline bool now() {
  const long n = every.load(std::memory_order_relaxed);
  if (n == 0 || calls.fetch_add(1, std::memory_order_relaxed) % n != 0) return false;
  count.fetch_add(1, std::memory_order_relaxed);
  errno = EINTR;
  return true;
}

template<class... A> long call(long number, A... a) { return now() ? -1 : ::syscall(number, a...); }
// The kernel's form of an offset in two halves.
template<class... A> long call_at(long number, int fd, const iovec *v, int n, off_t at, A... a) {
  return call(number, fd, v, n, static_cast<unsigned long>(at), 0ul, a...);
}

} // namespace interrupted

extern "C" {
ssize_t preadv(int fd, const iovec *v, int n, off_t at) noexcept(noexcept(::preadv(0, nullptr, 0, 0))) {
  return interrupted::call_at(SYS_preadv, fd, v, n, at);
}
ssize_t pwritev(int fd, const iovec *v, int n, off_t at) noexcept(noexcept(::pwritev(0, nullptr, 0, 0))) {
  return interrupted::call_at(SYS_pwritev, fd, v, n, at);
}
ssize_t preadv2(int fd, const iovec *v, int n, off_t at, int flags) noexcept(noexcept(::preadv2(0, nullptr, 0, 0, 0))) {
  return interrupted::call_at(SYS_preadv2, fd, v, n, at, flags);
}
ssize_t pwritev2(int fd, const iovec *v, int n, off_t at,
                 int flags) noexcept(noexcept(::pwritev2(0, nullptr, 0, 0, 0))) {
  return interrupted::call_at(SYS_pwritev2, fd, v, n, at, flags);
}
ssize_t writev(int fd, const iovec *v, int n) { return interrupted::call(SYS_writev, fd, v, n); }
int openat(int at, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return static_cast<int>(interrupted::call(SYS_openat, at, path, flags, mode));
}
int fdatasync(int fd) { return static_cast<int>(interrupted::call(SYS_fdatasync, fd)); }
int fsync(int fd) { return static_cast<int>(interrupted::call(SYS_fsync, fd)); }
int sync_file_range(int fd, off_t from, off_t bytes, unsigned flags) {
  return static_cast<int>(interrupted::call(SYS_sync_file_range, fd, from, bytes, flags));
}
int fallocate(int fd, int mode, off_t from, off_t bytes) {
  return static_cast<int>(interrupted::call(SYS_fallocate, fd, mode, from, bytes));
}
int renameat(int a, const char *from, int b, const char *to) noexcept {
  return static_cast<int>(interrupted::call(SYS_renameat2, a, from, b, to, 0u));
}
} // extern "C"

#endif

// SPDX-License-Identifier: BSD-2-Clause
// The faulty engine: a table of system calls that delays, shortens, refuses and fails by a seeded plan. For test
// programs that link the static library. One header, so that each test is a single file.
#ifndef EF_TESTS_FAULTY_HH
#define EF_TESTS_FAULTY_HH

#include "sys.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if EF_HAVE_URING
#include <liburing.h>
#endif

namespace faulty {

// Chances are in 1/1024. All may change while files are open.
struct plan {
  std::atomic<unsigned> nowait_miss{0}; // inline read answers EAGAIN
  std::atomic<unsigned> nowait_none{0}; // 1: inline reads are not supported
  std::atomic<bool> memory_shown{true}; // false: what lies in memory (tmpfs) is not told, so its reads may miss as well
  std::atomic<bool> nowait_given{false}; // where the file system has no inline reads a waiting one stands for them
  std::atomic<unsigned> short_read{0}, short_write{0};
  std::atomic<unsigned> delay{0}; // of any background call: up to delay_us
  std::atomic<unsigned> delay_us{300};
  std::atomic<int> read_errno{0}, write_errno{0}, sync_errno{0}, write_back_errno{0}, open_errno{0}, close_errno{0};
  std::atomic<unsigned> errno_chance{1024};
  std::atomic<long> writes_before_errno{-1}; // -1: at once
  std::atomic<unsigned> zero_write{0};
  std::atomic<int> uring_errno{0};        // rings cannot be made
  std::atomic<unsigned> uring_passing{0}; // a completion answers an error that a thread would not have
  std::atomic<unsigned> uring_full{0};    // the kernel takes nothing more for the moment
  std::atomic<unsigned> uring_flags{0};   // of setting a ring up: those that this kernel does not know
  std::atomic<int> hung{-1};              // writes to this descriptor hang as long as it says so; every_file: to any
  std::atomic<int> let_through{0};        // so many of those get on all the same
  std::atomic<std::uint64_t> misses{0}, shorts{0}, delays{0}, errors{0}; // what really happened
};
inline plan now;
constexpr int every_file = -2;

inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char *s = std::getenv("EFIO_SEED");
    std::uint64_t v = s ? std::strtoull(s, nullptr, 0) : 1;
    std::printf("# seed %llu\n", static_cast<unsigned long long>(v));
    return v;
  }();
  return value;
}

inline std::uint32_t random32() {
  static std::atomic<std::uint64_t> threads{0};
  thread_local constinit std::uint64_t s = 0; // g++ 12 does not get on with UBSan and what is begun by a call here
  if (s == 0) s = (seed() + threads.fetch_add(1) * 7919 + 1) * 0x9e3779b97f4a7c15ull;
  s ^= s << 13;
  s ^= s >> 7;
  s ^= s << 17;
  return static_cast<std::uint32_t>(s >> 32);
}
inline bool happens(const std::atomic<unsigned> &chance) { return chance && random32() % 1024 < chance; }

inline void maybe_delay() {
  if (!happens(now.delay)) return;
  ++now.delays;
  ::usleep(random32() % (now.delay_us + 1));
}
inline int maybe_error(const std::atomic<int> &e) {
  if (!e || !happens(now.errno_chance)) return 0;
  ++now.errors;
  return -e;
}

inline int cut(const iovec *iov, int count, iovec *out) { // a random prefix of at least one byte
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) total += iov[i].iov_len;
  if (total < 2) return std::copy(iov, iov + count, out) - out;
  std::size_t keep = 1 + random32() % (total - 1);
  ++now.shorts;
  int n = 0;
  for (; n < count && keep > 0; ++n) {
    out[n] = {iov[n].iov_base, std::min(iov[n].iov_len, keep)};
    keep -= out[n].iov_len;
  }
  return n;
}

inline int do_openat(int dirfd, const char *path, int flags, mode_t mode) {
  maybe_delay();
  if (int e = maybe_error(now.open_errno)) return e;
  return ef::sys_kernel.openat(dirfd, path, flags, mode);
}
inline int do_close(int fd) {
  maybe_delay();
  int r = ef::sys_kernel.close(fd);
  int e = maybe_error(now.close_errno);
  return e ? e : r;
}
inline int do_facts(int fd, ef::file_facts *out) {
  const int r = ef::sys_kernel.facts(fd, out);
  out->in_memory = out->in_memory && now.memory_shown;
  return r;
}
inline ssize_t do_preadv(int fd, const iovec *iov, int count, off_t offset) {
  maybe_delay();
  if (int e = maybe_error(now.read_errno)) return e;
  iovec part[1024];
  if (happens(now.short_read)) return ef::sys_kernel.preadv(fd, part, cut(iov, count, part), offset);
  return ef::sys_kernel.preadv(fd, iov, count, offset);
}
inline ssize_t preadv_inline(int fd, const iovec *iov, int count, off_t offset, int flags) {
  const ssize_t r = ef::sys_kernel.preadv_with(fd, iov, count, offset, flags | RWF_NOWAIT);
  return r == -EOPNOTSUPP && now.nowait_given ? ef::sys_kernel.preadv(fd, iov, count, offset) : r;
}
inline ssize_t do_preadv_nowait(int fd, const iovec *iov, int count, off_t offset) {
  if (now.nowait_none) return -EOPNOTSUPP;
  if (happens(now.nowait_miss)) {
    ++now.misses;
    return -EAGAIN;
  }
  iovec part[1024];
  if (happens(now.short_read)) return preadv_inline(fd, part, cut(iov, count, part), offset, 0);
  return preadv_inline(fd, iov, count, offset, 0);
}
inline int write_error() {
  if (!now.write_errno) return 0;
  if (now.writes_before_errno > 0) {
    --now.writes_before_errno;
    return 0;
  }
  return maybe_error(now.write_errno);
}
inline void maybe_hang(int fd) {
  while (now.hung == fd || now.hung == every_file) {
    int n = now.let_through;
    if (n > 0 && now.let_through.compare_exchange_strong(n, n - 1)) return;
    ::usleep(500);
  }
}
inline ssize_t do_pwritev(int fd, const iovec *iov, int count, off_t offset) {
  maybe_delay();
  maybe_hang(fd);
  if (int e = write_error()) return e;
  if (happens(now.zero_write)) return 0;
  iovec part[1024];
  if (happens(now.short_write)) return ef::sys_kernel.pwritev(fd, part, cut(iov, count, part), offset);
  return ef::sys_kernel.pwritev(fd, iov, count, offset);
}
inline ssize_t do_writev(int fd, const iovec *iov, int count) {
  maybe_delay();
  maybe_hang(fd);
  if (int e = write_error()) return e;
  iovec part[1024];
  if (happens(now.short_write)) return ef::sys_kernel.writev(fd, part, cut(iov, count, part));
  return ef::sys_kernel.writev(fd, iov, count);
}
inline ssize_t do_preadv_with(int fd, const iovec *iov, int count, off_t offset, int flags) {
  if (flags & RWF_NOWAIT) {
    if (now.nowait_none) return -EOPNOTSUPP;
    if (happens(now.nowait_miss)) {
      ++now.misses;
      return -EAGAIN;
    }
    return preadv_inline(fd, iov, count, offset, flags);
  }
  maybe_delay();
  if (int e = maybe_error(now.read_errno)) return e;
  iovec part[1024];
  if (happens(now.short_read)) return ef::sys_kernel.preadv_with(fd, part, cut(iov, count, part), offset, flags);
  return ef::sys_kernel.preadv_with(fd, iov, count, offset, flags);
}
inline ssize_t do_pwritev_at(int fd, const iovec *iov, int count, off_t offset, int flags) {
  maybe_delay();
  if (int e = write_error()) return e;
  if (happens(now.zero_write)) return 0;
  iovec part[1024];
  if (happens(now.short_write)) return ef::sys_kernel.pwritev_at(fd, part, cut(iov, count, part), offset, flags);
  return ef::sys_kernel.pwritev_at(fd, iov, count, offset, flags);
}
inline int do_uring_setup(unsigned entries, io_uring *ring, io_uring_params *params) {
  if (now.uring_errno) return -now.uring_errno;
#if EF_HAVE_URING
  if (params->flags & now.uring_flags) return -EINVAL;
#endif
  return ef::sys_kernel.uring_setup(entries, ring, params);
}
inline int do_uring_enter(io_uring *ring, bool submit, std::int64_t wait_ns) {
  if (submit && happens(now.uring_full)) {
    ++now.errors;
    return -EAGAIN;
  }
  return ef::sys_kernel.uring_enter(ring, submit, wait_ns);
}
// What a ring may answer besides the truth. Bytes behind a short count are there, but nobody may know.
inline ssize_t do_uring_result(ssize_t result) {
  if (int e = maybe_error(now.read_errno)) return e;
  if (happens(now.uring_passing)) {
    static constexpr int passing[] = {EAGAIN, EINTR, ECANCELED, ENOMEM};
    ++now.errors;
    return -passing[random32() % 4];
  }
  if (result > 1 && happens(now.short_read)) {
    ++now.shorts;
    return 1 + random32() % (result - 1);
  }
  return result;
}
inline int do_write_back(int fd, off_t bytes) {
  maybe_delay();
  if (int e = maybe_error(now.write_back_errno)) return e;
  return ef::sys_kernel.write_back(fd, bytes);
}
inline int do_fdatasync(int fd) {
  maybe_delay();
  if (int e = maybe_error(now.sync_errno)) return e;
  return ef::sys_kernel.fdatasync(fd);
}

inline const ef::sys_table table = [] {
  ef::sys_table t = ef::sys_kernel;
  t.openat = do_openat;
  t.close = do_close;
  t.facts = do_facts;
  t.preadv = do_preadv;
  t.preadv_nowait = do_preadv_nowait;
  t.preadv_with = do_preadv_with;
  t.uring_setup = do_uring_setup;
  t.uring_enter = do_uring_enter;
  t.uring_result = do_uring_result;
  t.pwritev = do_pwritev;
  t.pwritev_at = do_pwritev_at;
  t.writev = do_writev;
  t.fdatasync = do_fdatasync;
  t.write_back = do_write_back;
  return t;
}();

// Before the first file of the program is opened.
inline void install() {
  seed();
  ef::sys = &table;
}

// With calls of the test's own: change(table) puts them in.
template<class Fn> void install(Fn change) {
  install();
  static ef::sys_table own = table;
  change(own);
  ef::sys = &own;
}

// And whatever the files lie on, reads at an offset miss or hit as the plan says.
inline void install_for_requests() {
  install();
  now.memory_shown = false;
  now.nowait_given = true;
}

// Everything works again; what was counted is kept.
inline void heal() {
  now.nowait_miss = now.nowait_none = now.short_read = now.short_write = now.delay = now.zero_write = 0;
  now.read_errno = now.write_errno = now.sync_errno = now.write_back_errno = now.open_errno = now.close_errno = 0;
  now.uring_errno = 0;
  now.uring_passing = now.uring_full = now.uring_flags = 0;
  now.errno_chance = 1024;
  now.writes_before_errno = -1;
  now.hung = -1;
  now.let_through = 0;
}
// Setup and teardown of a test under the plan.
inline int heal_around(void **) {
  heal();
  return 0;
}

} // namespace faulty
#endif

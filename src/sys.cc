// SPDX-License-Identifier: BSD-2-Clause
// The wrappers over the real kernel.
#include "sys.hh"

#include "uncancelled.hh"

#include <fcntl.h>
#if EF_HAVE_URING
#include <liburing.h>
#endif
#include <linux/magic.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

namespace ef {
namespace {

template<class Call> auto again(Call call) noexcept -> decltype(call()) {
  uncancelled until_done;
  for (;;) {
    auto r = call();
    if (r >= 0) return r;
    if (errno != EINTR) return -errno;
  }
}

// Linux gives the descriptor back whatever close answers: no retry, EINTR is no error.
int do_close(int fd) {
  uncancelled until_done;
  if (::close(fd) == 0 || errno == EINTR) return 0;
  return -errno;
}

int do_openat(int dirfd, const char *path, int flags, mode_t mode) {
  const int fd = again([&] { return ::openat(dirfd, path, flags | O_CLOEXEC, mode); });
  if (fd < 0) return fd;
  const int away = away_from_stdio(fd);
  if (away < 0) do_close(fd);
  return away;
}

int do_duplicate(int fd) {
  return again([&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 3); });
}

// EBUSY: another thread's open was about to take the number.
int do_replace(int fd, int by) {
  int r;
  do r = again([&] { return ::dup3(by, fd, O_CLOEXEC); });
  while (r == -EBUSY);
  return r < 0 ? r : 0;
}

int do_facts(int fd, file_facts *out) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return -errno;
  out->mode = st.st_mode;
  out->device = st.st_dev;
  struct statfs fs;
  // Not knowing the file system only costs speed.
  out->in_memory = S_ISREG(st.st_mode) && again([&] { return ::fstatfs(fd, &fs); }) == 0 &&
                   (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
  return 0;
}

int do_stat_at(int dirfd, const char *path, struct stat *out) {
  return again([&] { return ::fstatat(dirfd, path, out, 0); });
}

int do_rename(int dirfd, const char *from, const char *to, bool replace) {
  if (!replace) {
    const int r = again([&] { return ::renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE); });
    if (r != -EINVAL && r != -ENOSYS) return r;
    struct stat st; // a file system without that flag: nearly the same
    if (::fstatat(dirfd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
  }
  return again([&] { return ::renameat(dirfd, from, dirfd, to); });
}

int do_lock(int fd, bool on) {
  return again([&] { return ::flock(fd, on ? LOCK_EX | LOCK_NB : LOCK_UN); });
}

void from_statx(const struct statx &x, struct stat *out) {
  std::memset(out, 0, sizeof *out);
  out->st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
  out->st_ino = x.stx_ino;
  out->st_mode = x.stx_mode;
  out->st_nlink = x.stx_nlink;
  out->st_uid = x.stx_uid;
  out->st_gid = x.stx_gid;
  out->st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
  out->st_size = static_cast<off_t>(x.stx_size);
  out->st_blksize = x.stx_blksize;
  out->st_blocks = static_cast<blkcnt_t>(x.stx_blocks);
  out->st_atim = {x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
  out->st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
  out->st_ctim = {x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec};
}

int do_stat_now(int fd, struct stat *out) {
  struct statx x;
  int r = again([&] { return ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &x); });
  if (r < 0) return r;
  from_statx(x, out);
  // A block device has no size there. Nothing of ours uses the kernel's position.
  if (S_ISBLK(out->st_mode)) {
    off_t end = ::lseek(fd, 0, SEEK_END);
    if (end > 0) out->st_size = end;
  }
  return 0;
}

ssize_t do_preadv(int fd, const iovec *iov, int count, off_t offset) {
  return again([&] { return ::preadv(fd, iov, count, offset); });
}
// By its number: the C library's is a cancellation point, and to put that off costs a caller whose bytes are in memory
// 18 ns more. A kernel that does not have it does not have the flag.
ssize_t do_preadv_with(int fd, const iovec *iov, int count, off_t offset, int flags) {
  for (;;) {
    const ssize_t r = ::syscall(SYS_preadv2, static_cast<long>(fd), iov, static_cast<long>(count),
                                static_cast<long>(offset), static_cast<long>(offset >> 31 >> 1), flags);
    if (r >= 0) return r;
    if (errno == ENOSYS) return -EOPNOTSUPP;
    if (errno != EINTR) return -errno;
  }
}
ssize_t do_preadv_nowait(int fd, const iovec *iov, int count, off_t offset) {
  return do_preadv_with(fd, iov, count, offset, RWF_NOWAIT);
}
ssize_t do_pwritev(int fd, const iovec *iov, int count, off_t offset) {
  return again([&] { return ::pwritev(fd, iov, count, offset); });
}
ssize_t do_pwritev_at(int fd, const iovec *iov, int count, off_t offset, int flags) {
  return again([&] { return ::pwritev2(fd, iov, count, offset, flags); });
}
ssize_t do_writev(int fd, const iovec *iov, int count) {
  return again([&] { return ::writev(fd, iov, count); });
}

int do_writable_now(int fd) {
  pollfd p{fd, POLLOUT, 0};
  int r = again([&] { return ::poll(&p, 1, 0); });
  return r != 0; // POLLERR and POLLHUP count: the write tells the errno
}

int do_fdatasync(int fd) {
  return again([&] { return ::fdatasync(fd); });
}

int do_write_back(int fd, off_t bytes) {
  return again([&] { return ::sync_file_range(fd, 0, bytes, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER); });
}

// Of a range where there are no pages: what is left is the look at what happened to the file since it was opened.
int do_lost_pages(int fd) {
  const int r = again([&] { return ::sync_file_range(fd, INT64_MAX - 1, 1, SYNC_FILE_RANGE_WAIT_BEFORE); });
  return r == -EIO || r == -ENOSPC || r == -EDQUOT ? r : 0; // anything else: not to be known here
}

int do_allocate(int fd, off_t from, off_t bytes) {
  return again([&] { return ::fallocate(fd, FALLOC_FL_KEEP_SIZE, from, bytes); });
}
int do_release_behind(int fd, off_t length) {
  return again([&] { return ::ftruncate(fd, length); });
}

int do_sync_system(int fd) {
  return again([&] { return ::syncfs(fd); });
}

int do_sync_parent(int dirfd, const char *path) {
  char parent[PATH_MAX];
  const char *slash = std::strrchr(path, '/');
  std::size_t n = slash ? static_cast<std::size_t>(slash - path) : 0;
  if (n >= sizeof parent) return -ENAMETOOLONG;
  std::memcpy(parent, path, n);
  parent[n] = 0;
  const char *dir = !slash ? "." : n == 0 ? "/" : parent;
  int fd = do_openat(dirfd, dir, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return fd;
  int r = again([&] { return ::fsync(fd); });
  do_close(fd);
  return r == -EINVAL ? 0 : r; // a file system whose directories cannot be synced has nothing to sync
}

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000U
#endif
int do_direct_alignment(int fd) {
  // The fields are newer than the headers of Debian 12: stx_dio_mem_align and stx_dio_offset_align, Linux 6.1.
  union {
    struct statx x;
    std::uint32_t words[sizeof(struct statx) / 4];
  } u;
  static_assert(sizeof u.x >= 0xA0);
  std::memset(&u, 0, sizeof u);
  int r = again([&] { return ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_DIOALIGN, &u.x); });
  if (r < 0) return r;
  if (!(u.x.stx_mask & STATX_DIOALIGN)) return 0;
  const std::uint32_t memory = u.words[0x98 / 4], offset = u.words[0x9C / 4];
  if (memory == 0 || offset == 0) return -EOPNOTSUPP;
  return static_cast<int>(memory > offset ? memory : offset);
}

// By asking for a byte here and there; one that is not in memory brings its own page, and no more.
int sampled_share(int fd, std::int64_t bytes) {
  constexpr int samples = 16;
  int there = 0;
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  for (int i = 0; i < samples && there >= 0; ++i) {
    char byte;
    const iovec to{&byte, 1};
    const ssize_t r = do_preadv_nowait(fd, &to, 1, bytes / samples * i);
    if (r < 0 && r != -EAGAIN)
      there = static_cast<int>(r);
    else
      there += r > 0;
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
  return there < 0 ? there : there * 100 / samples;
}

// cachestat(2), Linux 6.5: newer than the headers of Debian 12, the same number everywhere. It tells only who owns the
// file or may write it.
int do_cached_share(int fd, std::int64_t bytes) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return -errno;
  if (st.st_size < bytes) bytes = st.st_size;
  if (bytes == 0) return 0;
  const std::uint64_t range[2] = {0, static_cast<std::uint64_t>(bytes)};
  std::uint64_t counts[5] = {}; // cached pages first
  if (::syscall(451, fd, range, counts, 0u) != 0) return sampled_share(fd, bytes);
  const long page = ::sysconf(_SC_PAGESIZE);
  return static_cast<int>(counts[0] * 100 / static_cast<std::uint64_t>((bytes + page - 1) / page));
}

int do_advise(int fd, off_t offset, off_t len, int advice) { return -::posix_fadvise(fd, offset, len, advice); }

#if EF_HAVE_URING
int do_uring_setup(unsigned entries, io_uring *ring, io_uring_params *params) {
  return io_uring_queue_init_params(entries, ring, params);
}
int do_uring_enter(io_uring *ring, bool submit, std::int64_t wait_ns) {
  if (!submit) return io_uring_get_events(ring);
  if (wait_ns <= 0) return io_uring_submit_and_get_events(ring);
  io_uring_cqe *first;
  __kernel_timespec time{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  return io_uring_submit_and_wait_timeout(ring, &first, 1, &time, nullptr);
}
#else
int do_uring_setup(unsigned, io_uring *, io_uring_params *) { return -ENOSYS; }
int do_uring_enter(io_uring *, bool, std::int64_t) { return -ENOSYS; }
#endif
ssize_t do_uring_result(ssize_t result) { return result; }

} // namespace

int away_from_stdio(int fd) noexcept {
  if (fd > 2) return fd;
  const int away = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (away < 0) return -errno;
  do_close(fd);
  return away;
}

const sys_table sys_kernel = {do_openat,         do_close,       do_duplicate,   do_replace,          do_facts,
                              do_stat_at,        do_rename,      do_lock,        do_stat_now,         do_preadv,
                              do_preadv_nowait,  do_preadv_with, do_pwritev,     do_pwritev_at,       do_writev,
                              do_writable_now,   do_fdatasync,   do_write_back,  do_lost_pages,       do_allocate,
                              do_release_behind, do_sync_system, do_sync_parent, do_direct_alignment, do_cached_share,
                              do_advise,         do_uring_setup, do_uring_enter, do_uring_result};
const sys_table *sys = &sys_kernel;

int open_same_file(int fd, int flags) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return sys->openat(AT_FDCWD, path, flags, 0);
}

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// One wrapper per system call on files: a count or a negated errno, EINTR handled. A table, so that tests can put
// faults in.
#ifndef EF_SYS_HH
#define EF_SYS_HH

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif

struct io_uring; // liburing's
struct io_uring_params;

namespace ef {

// What a descriptor is, read once in the background after open.
struct file_facts {
  mode_t mode;
  dev_t device;
  bool in_memory; // tmpfs, ramfs: a plain read is a memory copy
};

// The descriptor itself or, where the host has closed its standard ones, a copy away from their numbers: what the host
// writes to them must not land in ours. A negated errno: nothing was closed.
int away_from_stdio(int fd) noexcept;

struct sys_table {
  int (*openat)(int dirfd, const char *path, int flags, mode_t mode);
  int (*close)(int fd);
  int (*duplicate)(int fd);
  int (*replace)(int fd, int by); // dup3: whoever uses the number at the time has one file or the other
  int (*facts)(int fd, file_facts *out);
  int (*stat_at)(int dirfd, const char *path, struct stat *out);
  int (*rename)(int dirfd, const char *from, const char *to, bool replace);
  int (*lock)(int fd, bool on);              // flock, exclusive; -EWOULDBLOCK: somebody else has it
  int (*stat_now)(int fd, struct stat *out); // does not wait for a server: AT_STATX_DONT_SYNC
  ssize_t (*preadv)(int fd, const iovec *iov, int count, off_t offset);
  ssize_t (*preadv_nowait)(int fd, const iovec *iov, int count, off_t offset);
  ssize_t (*preadv_with)(int fd, const iovec *iov, int count, off_t offset, int flags); // RWF_
  ssize_t (*pwritev)(int fd, const iovec *iov, int count, off_t offset);
  ssize_t (*pwritev_at)(int fd, const iovec *iov, int count, off_t offset, int flags); // RWF_
  ssize_t (*writev)(int fd, const iovec *iov, int count); // append mode and pipes: the kernel has the position
  int (*writable_now)(int fd);                            // 1 or 0: pipes, terminals
  int (*fdatasync)(int fd);
  int (*write_back)(int fd, off_t bytes);           // sync_file_range of the first bytes, waiting; not durable by that
  int (*lost_pages)(int fd);                        // 0, or with what the kernel failed to write some back; waits not
  int (*allocate)(int fd, off_t from, off_t bytes); // fallocate; the file's length stays
  int (*release_behind)(int fd, off_t length);      // its length now: what is allocated behind it is given back
  int (*sync_system)(int fd);                       // syncfs: files that are closed, too
  int (*sync_parent)(int dirfd, const char *path);  // fsync of the directory that holds path
  int (*direct_alignment)(int fd); // of O_DIRECT reads: bytes, 0 = not to be known, or a negated errno: there are none
  // Of the first `bytes` of a file, percent that are in the page cache; or a negated errno: not to be known.
  int (*cached_share)(int fd, std::int64_t bytes);
  int (*advise)(int fd, off_t offset, off_t len, int advice); // posix_fadvise
  // io_uring; a library that was built without liburing never calls these
  int (*uring_setup)(unsigned entries, io_uring *ring, io_uring_params *params);
  // Submits (or not) and runs deferred work; wait_ns > 0: until a completion is there, so long at most (-ETIME). EINTR
  // is told.
  int (*uring_enter)(io_uring *ring, bool submit, std::int64_t wait_ns);
  ssize_t (*uring_result)(ssize_t result); // of a completion, as it came
};

extern const sys_table sys_kernel;

// The table in use. Tests replace it before the first file is opened; release: whoever was handed a file sees it.
extern const sys_table *sys;

// A second descriptor, with flags of its own, for the file of the first one, whatever its path names by now. By way of
// /proc: without it -ENOENT.
int open_same_file(int fd, int flags) noexcept;

} // namespace ef
#endif

// SPDX-License-Identifier: BSD-2-Clause
// Streaming: posix_fadvise behind the sequential reader, on a reader thread. RWF_DONTCACHE (Linux 6.14), which drops
// only what it brought itself, serves reads at an offset: sequentially it drops a whole folio of up to 2 MiB after the
// first piece of it, so that the next piece is read from the disk again (measured: 1.0 GB/s against 2.7). Direct: a
// second descriptor with O_DIRECT, so that writing and the caller's flags stay as they are.
#include "cache.hh"

#include "flusher.hh"
#include "process.hh"
#include "sys.hh"

#include <efio.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ef {
namespace {

void settle_on(file &f, int mode, const char *reason) noexcept {
  f.cache_reason.store(reason, std::memory_order_relaxed); // static texts: nothing else goes with them
  f.cache.store(mode, std::memory_order_relaxed);
}

void learn_streaming(file &f) noexcept {
  if (f.in_memory) return settle_on(f, EF_CACHE_NORMAL, "the file system is memory: there is no cache to leave");
  const std::int64_t share = sys->cached_share(f.osfd, limits::cached_look_bytes);
  if (share > 50) return settle_on(f, EF_CACHE_NORMAL, "the file is in the page cache already: it stays there");
  char byte;
  iovec one{&byte, 1};
  const ssize_t r = sys->preadv_with(f.osfd, &one, 1, 0, RWF_NOWAIT | RWF_DONTCACHE);
  const bool works = r >= 0 || r == -EAGAIN;
  f.inline_flags.store(works ? RWF_DONTCACHE : 0, std::memory_order_relaxed);
  settle_on(f, EF_CACHE_STREAMING,
            works ? "posix_fadvise behind the reader, RWF_DONTCACHE at an offset"
                  : "posix_fadvise behind the reader; no RWF_DONTCACHE here");
}

// Where the file system has no RWF_NOWAIT a ring would wait for the disk while it is handed the read (FUSE, 6.18).
// Behind the end of every file nothing is really read.
bool reads_without_waiting(int fd) noexcept {
  alignas(limits::page_bytes) static char page[limits::page_bytes];
  const iovec one{page, sizeof page};
  const ssize_t r = sys->preadv_nowait(fd, &one, 1, off_t{1} << 62);
  return r >= 0 || r == -EAGAIN;
}

void learn_direct(file &f) noexcept {
  if (f.in_memory) return settle_on(f, EF_CACHE_NORMAL, "the file system is memory: there is no cache to go past");
  const int align = sys->direct_alignment(f.osfd);
  if (align < 0) return settle_on(f, EF_CACHE_NORMAL, "the file system has no O_DIRECT");
  if (align > static_cast<int>(limits::page_bytes))
    return settle_on(f, EF_CACHE_NORMAL, "O_DIRECT wants more than a page's alignment here");
  const int fd = open_same_file(f.osfd, O_RDONLY | O_DIRECT);
  if (fd < 0) return settle_on(f, EF_CACHE_NORMAL, "the file cannot be opened with O_DIRECT");
  f.direct_fd = fd;
  f.direct_align = align ? align : static_cast<int>(limits::page_bytes);
  f.how.store(inline_mode::never, std::memory_order_relaxed); // asking the cache would fill it
  f.ringable.store(reads_without_waiting(fd), std::memory_order_relaxed);
  settle_on(f, EF_CACHE_DIRECT, "O_DIRECT works here");
}

bool aligned(std::uint64_t value, int to) noexcept { return value % static_cast<unsigned>(to) == 0; }

void run_drop(job *j) {
  file &f = *static_cast<file *>(j->owner);
  sys->advise(f.osfd, f.drop_from, f.drop_to - f.drop_from, POSIX_FADV_DONTNEED);
  f.dropping.store(false, std::memory_order_release); // pairs with passed
  put_reference(f);
}

bool drops_behind(const file &f) noexcept {
  return f.can_read && f.cache.load(std::memory_order_relaxed) == EF_CACHE_STREAMING;
}

} // namespace

void init_cache_mode(file &f, int wanted) noexcept {
  f.cache_wanted = wanted;
  f.inline_flags.store(0, std::memory_order_relaxed);
  f.direct_fd = -1;
  f.direct_align = 1;
  f.drop_from = f.drop_to = 0;
  f.dropping.store(false, std::memory_order_relaxed);
  f.drop_job = {{}, run_drop, &f};
  settle_on(f, EF_CACHE_NORMAL, wanted == EF_CACHE_NORMAL ? "asked for" : "the file is not open yet");
}

void learn_cache_mode(file &f) noexcept {
  if (f.cache_wanted == EF_CACHE_NORMAL) return;
  if (!f.can_read && f.cache_wanted == EF_CACHE_STREAMING && f.seekable && !f.in_memory)
    return settle_on(f, EF_CACHE_STREAMING, "sync_file_range and posix_fadvise behind the writer");
  if (!f.can_read) return settle_on(f, EF_CACHE_NORMAL, "the file is not open for reading");
  if (!f.seekable) return settle_on(f, EF_CACHE_NORMAL, "not a file with a cache");
  f.cache_wanted == EF_CACHE_DIRECT ? learn_direct(f) : learn_streaming(f);
}

void choose_cache_mode(file &f, fetch &t) noexcept {
  const int mode = f.cache.load(std::memory_order_relaxed);
  t.direct = mode == EF_CACHE_DIRECT && t.chunks[0]->bytes_max == limits::chunk_bytes;
  if (!t.direct) return;
  t.lead = static_cast<std::uint32_t>(t.io.offset % f.direct_align);
  t.io.offset -= t.lead;
  t.io.osfd = f.direct_fd;
}

namespace {

// Less than it takes to come to the wanted bytes, and they are there: an error is in front of them, which a read
// through the cache tells.
bool stopped_before(const file &f, const fetch &t) noexcept {
  struct stat st;
  return t.io.result > 0 && t.io.result <= t.lead && sys->stat_now(f.osfd, &st) == 0 &&
         st.st_size > t.io.offset + t.lead;
}

} // namespace

bool direct_read_refused(file &f, const io_request &r) noexcept {
  if (r.osfd == f.osfd || (r.result != -EINVAL && r.result != -EOPNOTSUPP)) return false;
  f.how.store(inline_mode::nowait, std::memory_order_relaxed);
  settle_on(f, EF_CACHE_NORMAL, "the file system refused a direct read");
  return true;
}

bool cache_mode_failed(file &f, const fetch &t) noexcept {
  if (!t.direct || direct_read_refused(f, t.io)) return t.direct;
  if (!stopped_before(f, t)) return false;
  f.how.store(inline_mode::nowait, std::memory_order_relaxed);
  settle_on(f, EF_CACHE_NORMAL, "a direct read ended too early");
  return true;
}

int descriptor_for(const file &f, const iovec *iov, int count, off_t offset) noexcept {
  if (f.cache.load(std::memory_order_relaxed) != EF_CACHE_DIRECT) return f.osfd;
  if (!aligned(static_cast<std::uint64_t>(offset), f.direct_align)) return f.osfd;
  for (int i = 0; i < count; ++i)
    if (!aligned(reinterpret_cast<std::uintptr_t>(iov[i].iov_base) | iov[i].iov_len, f.direct_align)) return f.osfd;
  return f.direct_fd;
}

namespace {

struct wish {
  job work;
  file *f;
  off_t offset, len;
};

void run_wish(job *j) {
  wish *w = static_cast<wish *>(j->owner);
  file &f = *w->f;
  if (state_of(f) == file_state::open) sys->advise(f.osfd, w->offset, w->len, POSIX_FADV_WILLNEED);
  delete w;
  put_reference(f);
}

} // namespace

// It can wait for the disk, to find out where the bytes are.
int will_need(file &f, off_t offset, off_t len) noexcept {
  wish *w = new (std::nothrow) wish{{}, &f, offset, len};
  if (!w) return -ENOMEM;
  w->work = {{}, run_wish, w};
  files.add_reference(slot_of(f));
  here()->readers.submit(&w->work);
  return 0;
}

void passed(file &f) noexcept {
  if (!drops_behind(f)) return;
  // A folio goes only as a whole: they are aligned to their size.
  const std::int64_t to = f.position - f.position % limits::drop_align;
  if (to < f.drop_to) f.drop_to = to;                                                            // it went back
  if (to - f.drop_to < limits::drop_bytes || f.dropping.load(std::memory_order_acquire)) return; // pairs with run_drop
  f.drop_from = f.drop_to;
  f.drop_to = to;
  f.dropping.store(true, std::memory_order_relaxed);
  files.add_reference(slot_of(f));
  here()->readers.submit(&f.drop_job);
}

void end_cache_mode(file &f) noexcept {
  if (drops_behind(f) && f.osfd >= 0) sys->advise(f.osfd, 0, 0, POSIX_FADV_DONTNEED); // what was read ahead, as well
  if (f.direct_fd >= 0) sys->close(f.direct_fd);
  f.direct_fd = -1;
}

} // namespace ef

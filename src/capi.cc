// SPDX-License-Identifier: BSD-2-Clause
// The C face of files: checks what callers hand in and answers errnos. Nothing else.
#include "capi.hh"

#include "clock.hh"
#include "durable.hh"
#include "lanes.hh"
#include "opener.hh"
#include "port.hh"
#include "reader.hh"
#include "reopener.hh"
#include "runtime.hh"
#include "sys.hh"
#include "unit.hh"
#include "writer.hh"

#include <fcntl.h>
#include <limits.h>

#include <algorithm>
#include <cstdarg>

using namespace ef;

namespace {

// Apart, so that the fast path has no frame to set up.
[[gnu::noinline]] ssize_t write_otherwise(int fd, const void *buf, size_t len) {
  if (write_shared(fd, buf, len)) return static_cast<ssize_t>(len);
  iovec one{const_cast<void *>(buf), len};
  file_reference f(fd);
  if (f.error()) return answer<ssize_t>(f.error());
  if (!f->can_write) return answer<ssize_t>(-EBADF);
  if (len > SSIZE_MAX) return answer<ssize_t>(-EINVAL);
  if (!buf && len) return answer<ssize_t>(-EFAULT);
  return answer(write_file(*f, &one, 1, len));
}

// Where events are not queued: until those under way have been told.
void quiesce_direct(file &f) noexcept {
  if (f.home->form.load(std::memory_order_acquire) == form_of_news::direct) port_quiesce(*f.home); // with its swap
}

int sticking(const file &f) noexcept {
  int e = f.open_error.load(std::memory_order_acquire);   // pairs with the opener
  return e ? e : f.error.load(std::memory_order_acquire); // pairs with stick_error
}

unsigned true_now(file &f, unsigned events) noexcept {
  unsigned now = 0;
  if ((events & EF_READ) && maybe_readable(f)) now |= EF_READ;
  if ((events & EF_WRITE) && maybe_writable(f)) now |= EF_WRITE;
  if ((events & EF_OPEN) && state_of(f) != file_state::opening && !reopening(f)) now |= EF_OPEN;
  return now;
}

// Can none of these come true, by the way in which the file was opened?
bool in_vain(const file &f, unsigned events) noexcept {
  unsigned never = 0;
  if (!f.can_read) never |= EF_READ;
  if (!f.can_write) never |= EF_WRITE | EF_SYNC;
  return !(events & ~never);
}

// Sees to it that what is waited for will come.
void help_along(file &f, unsigned events) noexcept {
  if (events & EF_READ) fetch_for(f);
  if (!(events & EF_WRITE) || !f.can_write) return;
  flush_now(f);
  if (f.out.has_room()) await_chunk(f); // it was a chunk that was missing
}

// Until something may have changed, at most so long. Of what this thread has under way nobody else hears.
void sleep_on(event_count<> &e, std::uint32_t key, std::int64_t deadline) noexcept {
  const std::int64_t left = left_ns(deadline);
  if (engines_turn_own(left < 0 ? limits::ring_wait_ns : std::min(left, limits::ring_wait_ns)))
    e.cancel_wait();
  else
    e.wait(key, left);
}

// After its request was answered. In the order of threads what others wrote meanwhile counts in `synced`, too, so it
// does not tell of ours: `target` was added up lane by lane, and files may have been changed since.
bool is_durable(const file &f, std::uint64_t number, std::uint64_t target) noexcept {
  if (f.syncs_good.load(std::memory_order_acquire) >= number) return true; // pairs with serve_syncs, as the next
  return !f.by_thread.load(std::memory_order_relaxed) && f.synced.load(std::memory_order_acquire) >= target;
}

int wait_for_sync(file &f, std::int64_t deadline) noexcept {
  if (!f.can_write) return -EBADF;
  if (int e = sticking(f)) return -e;
  std::uint64_t target, number = request_sync(f, false, &target);
  schedule_flush(f);
  for (;;) {
    // The round under way answers ours, or the next one does. Whoever is in the middle of choosing while a round begins
    // chooses again; so nobody is woken by a round that does not answer him, but for who chose just before one began.
    const std::uint64_t serving = f.serving.load(std::memory_order_seq_cst); // pairs with serve_syncs
    event_count<> &served = f.served[(serving & 1) ^ (number > serving >> 1)];
    std::uint32_t key = served.prepare_wait();
    bool done = f.syncs_done.load(std::memory_order_seq_cst) >= number; // pairs with serve_syncs
    if (done || f.closing.load(std::memory_order_seq_cst)) {
      served.cancel_wait();
      // First: the 0 of a later round says that ours are durable, too. Pairs with serve_syncs.
      const int e = f.sync_error.load(std::memory_order_acquire);
      if (done && is_durable(f, number, target)) return EF_SYNC;
      if (int open_failed = sticking(f)) return -open_failed; // before what its sync has met
      return e ? -e : -EBADF;
    }
    if (f.serving.load(std::memory_order_seq_cst) != serving) {
      served.cancel_wait();
      continue;
    }
    sleep_on(served, key, deadline);
    if (left_ns(deadline) == 0 && f.syncs_done.load(std::memory_order_seq_cst) < number) return 0;
  }
}

int wait_for_bits(file &f, unsigned events, std::int64_t deadline) noexcept {
  for (;;) {
    std::uint32_t key = f.changed.prepare_wait();
    unsigned now = true_now(f, events);
    bool closing = f.closing.load(std::memory_order_seq_cst); // pairs with ef_close
    if (now || closing) {
      f.changed.cancel_wait();
      return now ? static_cast<int>(now) : -EBADF;
    }
    help_along(f, events);
    sleep_on(f.changed, key, deadline); // woken or not: others' news must not keep it beyond its time
    if (left_ns(deadline) == 0) return static_cast<int>(true_now(f, events));
  }
}

} // namespace

int ef_open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list args;
    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
  }
  return ef_openat(nullptr, AT_FDCWD, path, flags, mode, nullptr);
}

int ef_openat(ef_port *given, int dirfd, const char *path, int flags, mode_t mode, const ef_file_options *options) {
  if (!path) return answer(-EFAULT);
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? open_path(*p, dirfd, path, flags, mode, options) : error);
}

int ef_fdopen(ef_port *given, int osfd, const ef_file_options *options) {
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? open_descriptor(*p, osfd, options) : error);
}

ssize_t ef_read(int fd, void *buf, size_t len) {
  if (len > SSIZE_MAX) return answer<ssize_t>(-EINVAL);
  file_reference f(fd);
  if (f.error()) return answer<ssize_t>(f.error());
  if (!f->can_read) return answer<ssize_t>(-EBADF);
  if (!buf && len) return answer<ssize_t>(-EFAULT);
  iovec one{buf, len};
  return answer(read_file(*f, &one, 1));
}

ssize_t ef_readv(int fd, const struct iovec *iov, int iovcnt) {
  std::size_t total = 0;
  int bad = check_iov(iov, iovcnt, &total);
  file_reference f(fd);
  if (f.error()) return answer<ssize_t>(f.error());
  return answer(bad ? bad : read_file(*f, iov, iovcnt));
}

ssize_t ef_peek(int fd, struct iovec *iov, int iovcnt) {
  file_reference f(fd);
  if (f.error()) return answer<ssize_t>(f.error());
  if (iovcnt < 1 || iovcnt > limits::iov_max) return answer<ssize_t>(-EINVAL);
  if (!iov) return answer<ssize_t>(-EFAULT);
  return answer(peek_file(*f, iov, iovcnt));
}

int ef_consume(int fd, size_t len) {
  file_reference f(fd);
  return answer(f.error() ? f.error() : consume_file(*f, len));
}

off_t ef_seek(int fd, off_t offset, int whence) {
  file_reference f(fd);
  return answer<off_t>(f.error() ? f.error() : seek_file(*f, offset, whence));
}

ssize_t ef_write(int fd, const void *buf, size_t len) {
  return write_owned(fd, buf, len) ? static_cast<ssize_t>(len) : write_otherwise(fd, buf, len);
}

ssize_t ef_writev(int fd, const struct iovec *iov, int iovcnt) {
  std::size_t total = 0;
  int bad = check_iov(iov, iovcnt, &total);
  file_reference f(fd);
  if (f.error()) return answer<ssize_t>(f.error());
  return answer(bad ? bad : write_file(*f, iov, iovcnt, total));
}

ssize_t ef_write_seq(int fd, const void *buf, size_t len, uint64_t *seq) {
  if (!seq) return answer<ssize_t>(-EFAULT);
  const std::uint64_t before = calls_dropped;
  const ssize_t n = ef_write(fd, buf, len);
  if (n < 0) return n;
  file_reference f(fd);
  const bool none = f.error() || calls_dropped != before; // closed by another thread meanwhile, or dropped
  *seq = none ? UINT64_MAX : sequence_of_caller(*f);
  return n;
}

int ef_synced_up_to(int fd, uint64_t seq) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!f->can_write) return answer(-EBADF);
  if (int e = sticking(*f)) return answer(-e);
  return answer(synced_up_to(*f, seq));
}

int ef_crash_flush(int timeout_ms) {
  const int saved = errno;
  const int left = here() ? flush_before_crash(deadline_ns(timeout_ms)) : 0;
  errno = saved;
  return left;
}

int ef_watch(int fd, unsigned events, void *data) {
  constexpr unsigned known = EF_READ | EF_WRITE | EF_OPEN | EF_SYNC | EF_CLOSE;
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (events & ~known) return answer(-EINVAL);
  if (events && in_vain(*f, events)) return answer(-EBADF);
  f->data.store(data, std::memory_order_release); // pairs with event_of
  if (events == 0) {
    raise(f->tells_muted, f->tells_wanted.load(std::memory_order_seq_cst)); // before the disarming; pairs with post
    disarm(*f, ready_word::bits);
    quiesce_direct(*f); // the old data is not seen again
    return 0;
  }
  if (unsigned now = true_now(*f, events)) return static_cast<int>(now);
  arm(*f, events);
  help_along(*f, events);
  post(*f, true_now(*f, events)); // again: what came true before the arming told nobody
  return 0;
}

int ef_ready(int fd) {
  file_reference f(fd);
  return answer(f.error() ? f.error() : static_cast<int>(true_now(*f, EF_READ | EF_WRITE)));
}

int ef_wait(int fd, unsigned events, int timeout_ms) {
  std::int64_t deadline = deadline_ns(timeout_ms);
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (events == EF_SYNC) return answer(wait_for_sync(*f, deadline));
  if (events == 0 || (events & ~(EF_READ | EF_WRITE | EF_OPEN))) return answer(-EINVAL);
  if (in_vain(*f, events)) return answer(-EBADF);
  return answer(wait_for_bits(*f, events, deadline));
}

int ef_flush(int fd) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!f->can_write) return answer(-EBADF);
  if (int e = sticking(*f)) return answer(-e);
  flush_now(*f);
  return 0;
}

int ef_sync(int fd) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!f->can_write) return answer(-EBADF);
  if (int e = sticking(*f)) return answer(-e);
  std::uint64_t target;
  request_sync(*f, true, &target);
  schedule_flush(*f);
  return 0;
}

int ef_reopen(int fd) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!f->can_write) return answer(-EBADF);
  if (int e = sticking(*f)) return answer(-e);
  return answer(reopen_file(*f));
}

int ef_close(int fd) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (int r = files.close(fd)) return answer(r); // another thread was first
  int e = sticking(*f);
  port_busy(*f->home); // until release()
  if (f->can_write) {
    end_drop_marks(*f);
    close_streams(*f);
  }
  f->closing.store(true, std::memory_order_seq_cst); // pairs with run_turn, post
  f->changed.notify_all();
  for (event_count<> &e : f->served) e.notify_all();
  schedule_flush(*f);
  return answer(-e);
}

int ef_fstat(int fd, struct stat *out) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!out) return answer(-EFAULT);
  if (state_of(*f) == file_state::opening) {
    arm(*f, EF_OPEN);
    if (state_of(*f) != file_state::opening) post(*f, EF_OPEN); // it ended in between: the event comes at once
    return answer(-EAGAIN);
  }
  if (int e = f->open_error.load(std::memory_order_acquire)) return answer(-e); // pairs with the opener
  return answer(sys->stat_now(f->osfd, out));
}

int ef_file_stats(int fd, ef_file_counters *out) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!out) return answer(-EFAULT);
  if (out->size != sizeof *out) return answer(-EINVAL);
  auto get = [](const std::atomic<std::uint64_t> &c) {
    return c.load(std::memory_order_acquire);
  };                            // pairs with the lane
  out->synced = get(f->synced); // in this order: never more than the next
  out->written = get(f->written);
  out->lost = get(f->lost);
  out->accepted = f->can_write ? accepted_by(*f) : 0;
  out->dropped = get(f->dropped);
  out->dropped_calls = get(f->dropped_calls);
  out->refused_calls = get(f->refused_calls);
  out->read = get(f->bytes_read) + get(f->bytes_at);
  out->read_hits = get(f->read_hits) + get(f->hits_at);
  out->read_misses = get(f->read_misses) + get(f->misses_at);
  out->read_background = get(f->read_background);
  out->flushes = get(f->flushes);
  out->syncs = get(f->syncs);
  out->read_wasted = get(f->read_wasted);
  out->cache = f->cache.load(std::memory_order_relaxed);
  out->cache_reason = f->cache_reason.load(std::memory_order_relaxed);
  out->error = sticking(*f);
  out->write_trouble = f->trouble.load(std::memory_order_acquire);
  out->oldest_ms = out->accepted > out->written + out->lost ? static_cast<std::uint64_t>(age_ms(*f)) : 0;
  out->flush_us_max = longest_write_us(*f);
  return 0;
}

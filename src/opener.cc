// SPDX-License-Identifier: BSD-2-Clause
// Opening: checks and the slot in the caller, open(2) and what it shows on a reader thread.
#include "opener.hh"

#include "backlog_age.hh"
#include "cache.hh"
#include "drop_marker.hh"
#include "fetcher.hh"
#include "flusher.hh"
#include "lanes.hh"
#include "limits.hh"
#include "process.hh"
#include "reader.hh"
#include "reopener.hh"
#include "requester.hh"
#include "rotator.hh"
#include "space.hh"
#include "sys.hh"
#include "write_back.hh"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ef {
namespace {

// O_DIRECT would need aligned buffers of our callers, O_PATH and O_DIRECTORY open nothing that has bytes.
constexpr int known_flags = O_ACCMODE | O_APPEND | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY |
                            O_NOATIME | O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC | O_LARGEFILE |
                            (O_TMPFILE & ~O_DIRECTORY);

int check_flags(int flags) noexcept {
  bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
  if (temporary) flags &= ~O_DIRECTORY;
  if (flags & ~(known_flags | O_LARGEFILE)) return -EINVAL;
  if ((flags & O_ACCMODE) == O_ACCMODE) return -EINVAL;
  return 0;
}

int read_options(const ef_file_options *given, ef_file_options *out) noexcept {
  *out = {};
  if (given) {
    if (given->size != sizeof *given) return -EINVAL; // the only version there is
    *out = *given;
  }
  using namespace limits;
  if (out->write_buffer_max == 0) out->write_buffer_max = write_buffer_default;
  if (out->read_ahead_max == 0) out->read_ahead_max = read_ahead_default;
  if (out->flush_interval_ms == 0) out->flush_interval_ms = flush_interval_default_ms;
  if (out->write_buffer_max < write_buffer_least || out->write_buffer_max > write_buffer_most) return -EINVAL;
  if (out->read_ahead_max < read_ahead_least || out->read_ahead_max > read_ahead_most) return -EINVAL;
  if (out->flush_interval_ms > flush_interval_most_ms) return -EINVAL;
  if (out->durable_interval_ms > flush_interval_most_ms) return -EINVAL;
  if (out->preallocate_bytes > preallocate_most) return -EINVAL;
  if (out->order != EF_ORDER_CALL && out->order != EF_ORDER_THREAD) return -EINVAL;
  if (out->cache < EF_CACHE_NORMAL || out->cache > EF_CACHE_DIRECT) return -EINVAL;
  if (out->pattern < EF_PATTERN_ADAPTIVE || out->pattern > EF_PATTERN_RANDOM) return -EINVAL;
  if (out->when_full < EF_FULL_EAGAIN || out->when_full > EF_FULL_WAIT) return -EINVAL;
  if (out->drop_mark && out->when_full != EF_FULL_DROP) return -EINVAL;
  return 0;
}

// What can be opened, and how it will be used; 0 or a negated errno.
int learn(file &f) noexcept {
  file_facts facts;
  if (int r = sys->facts(f.osfd, &facts)) return r;
  if (S_ISDIR(facts.mode)) return -EISDIR;
  const bool stream = S_ISFIFO(facts.mode) || S_ISSOCK(facts.mode);
  const bool terminal = S_ISCHR(facts.mode) && ::isatty(f.osfd);
  if (S_ISSOCK(facts.mode)) return -ESPIPE;
  if (f.can_read && (stream || terminal)) return -ESPIPE;
  f.pollable = stream || S_ISCHR(facts.mode);
  f.seekable = S_ISREG(facts.mode) || S_ISBLK(facts.mode);
  f.in_memory = facts.in_memory;
  f.gates.store(&here()->devices.of(facts.device), std::memory_order_relaxed); // who comes without it is not kept
  f.how.store(facts.in_memory ? inline_mode::memory
              : f.seekable    ? inline_mode::nowait
                              : inline_mode::never,
              std::memory_order_relaxed);
  learn_cache_mode(f);
  learn_write_back(f);
  if (f.pattern.load(std::memory_order_relaxed) != EF_PATTERN_ADAPTIVE) advise_pattern(f);
  return 0;
}

// An adopted descriptor starts where its owner left it; 0 or a negated errno.
int adopt_offset(file &f) noexcept {
  off_t at = ::lseek(f.osfd, 0, SEEK_CUR);
  if (at <= 0) return 0;
  if (at > limits::position_max) return -EOVERFLOW;
  f.position = at;
  f.write_offset.store(at, std::memory_order_relaxed);
  f.write_base.store(at, std::memory_order_relaxed);
  return 0;
}

void run_open(job *j) {
  file &f = *static_cast<file *>(j->owner);
  int r = 0;
  if (f.path) {
    r = sys->openat(f.dirfd, f.path, f.flags | O_NONBLOCK | O_NOCTTY, f.mode);
    f.osfd = r < 0 ? -1 : r;
  } else {
    r = adopt_offset(f);
  }
  if (r >= 0) r = learn(f);
  if (r >= 0 && f.can_read) here()->chunks.refill(); // here, so that the first read need not map memory
  if (r < 0) {
    f.open_error.store(-r, std::memory_order_release); // pairs with error_of and the calls
    if (f.can_write) close_streams(f);                 // put finds it closed
  }
  move_state(f, r < 0 ? file_state::failed : file_state::open);
  tell_parked(f);
  // A failed open makes the file ready for everything: each call tells the errno.
  const bool room = f.can_write && here()->chunks.may_take_large();
  post(f, EF_OPEN | EF_READ | (r < 0 || room ? EF_WRITE : 0));
  if (r >= 0 && f.can_write && !room) await_chunk(f); // ef_seek may have waited
  schedule_flush(f);                                  // whatever was accepted, or a close, waited for this
  port &p = *f.home;
  port_reference(p); // the file may be gone in the next line
  put_reference(f);
  port_not_busy(p);
  port_release(p);
}

int give_up(file &f, int error) noexcept {
  std::free(f.path);
  if (f.dirfd != AT_FDCWD) sys->close(f.dirfd);
  f.out.shut();
  f.home->files.fetch_sub(1, std::memory_order_relaxed);
  move_state(f, file_state::vacant);
  unpin(f);
  return error;
}

// A slot with everything that is the same for both ways of opening; not visible yet.
int prepare(port &p, int flags, const ef_file_options &o, file **out) noexcept {
  const bool by_thread = o.order == EF_ORDER_THREAD;
  if (by_thread && (flags & O_ACCMODE) != O_WRONLY) return -EINVAL;
  file *f;
  int handle = files.allocate(&f);
  if (handle < 0) return handle;
  process &h = *here();
  f->handle = handle;
  f->home = &p;
  const int access = flags & O_ACCMODE;
  f->can_read = access != O_WRONLY;
  f->can_write = access != O_RDONLY;
  f->append = flags & O_APPEND;
  f->make_durable_parent = (flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE;
  f->flags = flags;
  f->dirfd = AT_FDCWD;
  f->path = nullptr;
  f->osfd = -1;
  f->flush_interval_ns = std::int64_t{o.flush_interval_ms} * 1'000'000;
  f->durable_interval_ns = std::int64_t{o.durable_interval_ms} * 1'000'000;
  f->when_full = o.when_full;
  f->seekable = f->pollable = f->in_memory = false;
  f->gates.store(nullptr, std::memory_order_relaxed);
  for (auto *a : {&f->dirty, &f->aging, &f->retrying, &f->ensuring, &f->closing, &f->starved, &f->parent_synced})
    a->store(false, std::memory_order_relaxed);
  for (auto *a :
       {&f->open_error, &f->failing, &f->error, &f->trouble, &f->last_trouble, &f->close_error, &f->sync_error})
    a->store(0, std::memory_order_relaxed);
  for (auto *a : {&f->syncs_wanted,     &f->tells_wanted, &f->tells_muted,   &f->syncs_done,
                  &f->syncs_good,       &f->serving,      &f->written,       &f->synced,
                  &f->write_base_since, &f->dropped,      &f->dropped_calls, &f->lost,
                  &f->refused_calls,    &f->bytes_read,   &f->read_hits,     &f->read_misses,
                  &f->read_background,  &f->read_wasted,  &f->flushes,       &f->syncs})
    a->store(0, std::memory_order_relaxed);
  f->write_offset.store(0, std::memory_order_relaxed);
  f->write_base.store(0, std::memory_order_relaxed);
  f->write_end.store(0, std::memory_order_relaxed);
  f->readiness.store(0, std::memory_order_relaxed);
  f->tells_done = 0;
  f->reading.store(reading_by::nobody, std::memory_order_relaxed);
  f->news_after_turn = 0;
  f->pins.store(1, std::memory_order_relaxed);
  f->data.store(o.data, std::memory_order_relaxed);
  f->lane.store(lane_state::idle, std::memory_order_relaxed);
  init_age(*f);
  f->write_began.store(0, std::memory_order_relaxed);
  f->write_longest_ns.store(0, std::memory_order_relaxed);
  init_flushing(*f);
  init_reading(*f, h.chunks, o.read_ahead_max);
  init_reopening(*f);
  init_rotation(*f, o);
  init_drop_marker(*f, o);
  init_requests(*f);
  init_cache_mode(*f, o.cache);
  init_write_back(*f);
  init_space(*f, f->can_write ? o.preallocate_bytes : 0);
  f->pattern.store(o.pattern, std::memory_order_relaxed);
  const int no_lanes =
      init_lanes(*f, &h.chunks, static_cast<std::uint32_t>(o.write_buffer_max / limits::chunk_bytes), by_thread);
  if (!f->can_write) f->out.shut();
  f->open_job = {{}, run_open, f};
  move_state(*f, file_state::opening);
  port_reference(p);
  p.files.fetch_add(1, std::memory_order_relaxed);
  *out = f;
  return no_lanes ? give_up(*f, no_lanes) : handle;
}

int start(file &f) noexcept {
  const int handle = f.handle;
  // run_open's, so that the end of a file that is closed at once comes after the news of its beginning.
  files.add_reference(slot_of(handle));
  port_busy(*f.home); // until the open is over: ef_drain waits for what it makes
  files.publish(handle);
  here()->readers.submit(&f.open_job);
  return handle;
}

} // namespace

int open_path(port &p, int dirfd, const char *path, int flags, mode_t mode, const ef_file_options *options) noexcept {
  ef_file_options o;
  if (int r = check_flags(flags)) return r;
  if (int r = read_options(options, &o)) return r;
  if (int r = check_rotation(o, flags)) return r;
  std::size_t n = ::strnlen(path, PATH_MAX);
  if (n == 0) return -ENOENT;
  if (n == PATH_MAX) return -ENAMETOOLONG;
  if (int r = here()->readers.ensure_started()) return r;
  file *f;
  int handle = prepare(p, flags, o, &f);
  if (handle < 0) return handle;
  f->mode = mode;
  f->path = static_cast<char *>(std::malloc(n + 1));
  if (!f->path) return give_up(*f, -ENOMEM);
  std::memcpy(f->path, path, n + 1);
  if (dirfd != AT_FDCWD && path[0] != '/') {
    int copy = ::fcntl(dirfd, F_DUPFD_CLOEXEC, 3); // away from the numbers of stdio
    if (copy < 0) return give_up(*f, -errno);
    f->dirfd = copy;
  }
  return start(*f);
}

int open_descriptor(port &p, int osfd, const ef_file_options *options) noexcept {
  ef_file_options o;
  if (int r = read_options(options, &o)) return r;
  if (o.rotate_bytes || o.rotate_seconds) return -EINVAL; // there is no path to rename
  int flags = ::fcntl(osfd, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_PATH) || (flags & O_ACCMODE) == O_ACCMODE) return -EBADF;
  if (flags & O_DIRECT) return -EINVAL;
  // As standard output mostly is: for writing, then.
  if ((flags & O_ACCMODE) == O_RDWR && ::isatty(osfd)) flags = (flags & ~O_ACCMODE) | O_WRONLY;
  if (int r = here()->readers.ensure_started()) return r;
  file *f;
  int handle = prepare(p, flags & ~(O_CREAT | O_TMPFILE), o, &f);
  if (handle < 0) return handle;
  f->osfd = osfd;
  return start(*f);
}

} // namespace ef

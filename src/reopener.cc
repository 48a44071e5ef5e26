// SPDX-License-Identifier: BSD-2-Clause
// Where in the stream files change, and the change: the new one takes the descriptor's number over, so that whoever
// uses the number at the time (ef_fstat, writes at an offset) has one file or the other.
#include "reopener.hh"

#include "clock.hh"
#include "durable.hh"
#include "flusher.hh"
#include "lanes.hh"
#include "port.hh"
#include "requester.hh"
#include "space.hh"
#include "sys.hh"

#include <efio.h>

#include <fcntl.h>
#include <sched.h>

#include <cerrno>

namespace ef {
namespace {

using namespace reopen_word;

// The descriptor names the new file from now on. What close(2) says of the old one would get lost with dup3: network
// file systems tell there of bytes that did not arrive.
int take_over(file &f, int fd) noexcept {
  const int old = sys->duplicate(f.osfd); // none left: then close(2) is not heard
  const int r = sys->replace(f.osfd, fd);
  const int closed = old >= 0 ? sys->close(old) : 0;
  if (r < 0) return r;
  if (closed < 0) {
    int none_yet = 0;
    f.close_error.compare_exchange_strong(none_yet, -closed, std::memory_order_release); // pairs with error_of
    tell_trouble(f, -closed);
  }
  f.reopened.fetch_add(1, std::memory_order_seq_cst); // before the look for a second descriptor; see open_second
  return 0;
}

// Where the next byte goes: behind what is in the new file, whoever put it there.
void start_behind(file &f, std::int64_t offset) noexcept {
  f.write_offset.store(offset, std::memory_order_relaxed);
  // ef_seek's, which waits until this is over.
  f.write_base_since.store(f.out.consumed(), std::memory_order_relaxed);
  f.write_base.store(offset, std::memory_order_relaxed);
  f.write_end.store(0, std::memory_order_relaxed);
  f.turns.since = now_ns();
}

int change_to(file &f, int fd) noexcept {
  struct stat was, now;
  if (int r = sys->stat_now(f.osfd, &was)) return r;
  if (int r = sys->stat_now(fd, &now)) return r;
  if ((was.st_mode ^ now.st_mode) & S_IFMT) return -EINVAL; // how it is written was found out when it was opened
  if (was.st_dev == now.st_dev && was.st_ino == now.st_ino && f.seekable) return 0; // nobody moved it: all stays
  const bool debt = f.left_unsynced || unsynced(f);
  // syncfs by the new one will tell neither of another file system, nor of pages that were lost before it was opened if
  // somebody else has asked meanwhile.
  if (debt && f.seekable)
    if (int r = was.st_dev != now.st_dev ? sys->fdatasync(f.osfd) : sys->lost_pages(f.osfd)) {
      stick_error(f, -r); // final: the kernel tells a lost page only once
      return r;
    }
  return_space(f);
  if (int r = take_over(f, fd)) return r;
  f.gates.store(&here()->devices.of(now.st_dev), std::memory_order_relaxed);
  f.parent_synced.store(false, std::memory_order_relaxed);
  start_behind(f, S_ISREG(now.st_mode) ? now.st_size : 0);
  const int second = renew_second(f);
  // Both descriptors name the new file: a write at an offset that is not counted by now goes there. Pairs with the
  // beginning and the end of a request.
  const bool going = f.writing_at.load(std::memory_order_seq_cst) > 0;
  f.left_unsynced = f.seekable && was.st_dev == now.st_dev && (debt || going || unsynced(f));
  if (f.left_unsynced) f.written_at_synced = f.written_at.load(std::memory_order_acquire);
  return second;
}

// One caller of ef_reopen at a time. Blocking, for as long as the other looks at its position.
class asking {
 public:
  explicit asking(file &f) noexcept : f_(f) {
    while (f_.reopen_asked.exchange(true, std::memory_order_acquire)) ::sched_yield(); // pairs with the store below
  }
  ~asking() { f_.reopen_asked.store(false, std::memory_order_release); }
  asking(const asking &) = delete;
  asking &operator=(const asking &) = delete;

 private:
  file &f_;
};

} // namespace

void tell_trouble(file &f, int error) noexcept {
  f.last_trouble.store(error, std::memory_order_release); // pairs with error_of
  post(f, EF_ERROR);
}

int open_path_again(file &f, int more_flags, mode_t mode) noexcept {
  const int flags = (f.flags & ~(O_TRUNC | O_EXCL)) | O_NONBLOCK | O_NOCTTY | more_flags;
  const int fd = sys->openat(f.dirfd, f.path, flags, mode);
  if (fd < 0) return fd;
  const int r = change_to(f, fd);
  sys->close(fd);
  return r;
}

// While one waits to be begun the next is one with it: the path is looked up after both calls, and what was accepted
// between them could not have gone elsewhere.
int reopen_file(file &f) noexcept {
  if (f.can_read || !f.path || (f.flags & O_TMPFILE) == O_TMPFILE) return -EINVAL;
  port_busy(*f.home);
  const bool by_thread = f.by_thread.load(std::memory_order_relaxed);
  const asking only_one(f);
  // Before the swap. The lane looks at the word after it gathered: bytes that it saw while the word said none were
  // accepted before this call's return.
  std::uint64_t w = f.reopen_at.load(std::memory_order_seq_cst);
  const std::uint64_t at = by_thread ? 0 : f.out.accepted(); // 0: each lane has a cut of its own
  if (by_thread && (w & none) == none) cut_lanes(f);         // nobody else asks just now
  while ((w & none) == none && !f.reopen_at.compare_exchange_weak(w, (w & running) | at, std::memory_order_seq_cst)) {}
  if (w != none) port_not_busy(*f.home); // it is counted already
  int r = 0;
  // Pairs with the lane, which sees `closing` and then looks here: one of both sees the other.
  if (f.closing.load(std::memory_order_seq_cst)) {
    w = at;
    r = -EBADF;
    if (f.reopen_at.compare_exchange_strong(w, none, std::memory_order_seq_cst)) port_not_busy(*f.home);
  }
  flush_now(f);
  return r;
}

std::size_t bytes_to_cut(file &f) noexcept {
  const std::uint64_t at = f.reopen_at.load(std::memory_order_seq_cst), done = f.out.consumed(); // see reopen_file
  if (at == none) return SIZE_MAX;
  // Farther already: by bytes accepted while ef_reopen was running. Those of the call that is begun stay together.
  return at > done ? at - done : f.out.begun_call();
}

void open_anew(file &f) noexcept {
  f.reopen_at.exchange(running | none, std::memory_order_seq_cst); // calls from now on mean another time
  const int error = -open_path_again(f, 0, f.mode);
  f.reopen_error.store(error, std::memory_order_release); // pairs with error_of
  if (error) tell_trouble(f, error);
  const std::uint64_t next =
      f.reopen_at.fetch_and(~running, std::memory_order_seq_cst) & none; // pairs with reopening()
  tell_room(f);                                                          // ef_seek waited
  if (next != none) return;
  post(f, EF_OPEN);
  port_not_busy(*f.home);
}

void forget_reopening(file &f) noexcept {
  if (f.reopen_at.exchange(none, std::memory_order_seq_cst) == none) return; // pairs with reopen_file
  post(f, EF_OPEN | EF_WRITE);
  port_not_busy(*f.home);
}

void init_reopening(file &f) noexcept {
  f.reopen_at.store(none, std::memory_order_relaxed);
  f.reopen_error.store(0, std::memory_order_relaxed);
  f.reopened.store(0, std::memory_order_relaxed);
  f.reopen_asked.store(false, std::memory_order_relaxed);
  f.left_unsynced = false;
  f.written_at_synced = 0;
}

} // namespace ef

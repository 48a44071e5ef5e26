// SPDX-License-Identifier: BSD-2-Clause
// Writes that need a chunk, meet a full budget, or an error.
#include "writer.hh"

#include "clock.hh"
#include "lanes.hh"
#include "port.hh"

#include <efio.h>

#include <algorithm>
#include <cerrno>

namespace ef {

constinit thread_local write_memory last_write = nothing_written;
constinit thread_local std::uint64_t calls_dropped = 0;

namespace {

int error_for_writers(file &f) noexcept {
  if (state_of(f) == file_state::failed) return f.open_error.load(std::memory_order_acquire); // pairs with the opener
  return sticking_for_writers(f);
}

// Room comes from flushing; but while the disk is full the lane's own retries are enough.
void hurry(file &f) noexcept {
  // seq_cst: pairs with note_written, after which the lane looks for drops to mark.
  if (!f.trouble.load(std::memory_order_seq_cst)) flush_now(f);
}

ssize_t put(file &f, const iovec *iov, int count, std::size_t n) noexcept {
  note_lane(f);
  // In a lane a call's bytes are together in one chunk: chunks of several lanes take turns.
  if (f.by_thread.load(std::memory_order_relaxed)) n = std::min(n, limits::atomic_bytes);
  ssize_t r = stream_of_caller(f).put(byte_source(iov, count), n);
  if (r == -EPIPE) {
    int e = error_for_writers(f);
    if (!e) e = f.open_error.load(std::memory_order_acquire); // pairs with the opener, which says later that it failed
    return e ? -e : -EBADF;                                   // closed meanwhile
  }
  note_write(f);
  if (backlog_of(f)) schedule_flush(f, f.out.has_much_room());
  return r;
}

// Refused and armed for EF_WRITE. If room came in between, the event is told at once: trying again and taking the
// arming back would take back the arming of another thread, too.
ssize_t refuse(file &f, ssize_t why) noexcept {
  f.refused_calls.fetch_add(1, std::memory_order_relaxed);
  arm(f, EF_WRITE);
  if (why == -ENOBUFS) await_chunk(f);
  // Pairs with tell_room, chunk_returned: they make room, then look who is armed.
  if (why == -ENOBUFS ? here()->chunks.may_take_large() : f.out.has_much_room())
    post(f, EF_WRITE);
  else if (f.out.chunks() > 0) // or there is nothing of its own to wait for
    hurry(f);
  return -EAGAIN;
}

ssize_t wait_for_room(file &f, const iovec *iov, int count, std::size_t n) noexcept {
  for (;;) {
    std::uint32_t key = f.changed.prepare_wait();
    ssize_t r = put(f, iov, count, n);
    if (r != -EAGAIN && r != -ENOBUFS) {
      f.changed.cancel_wait();
      return r;
    }
    if (r == -ENOBUFS) await_chunk(f);
    hurry(f);
    f.changed.wait(key, 10'000'000); // bounded: room without a word is possible below the mark where EF_WRITE is told
  }
}

// A gap comes before what is accepted behind it, which has no room as long as the mark has none. In a lane what still
// fits into its chunk is not behind the gap, which another thread may have made.
ssize_t put_behind_gap(file &f, const iovec *iov, int count, std::size_t n) noexcept {
  const bool in_order = !f.by_thread.load(std::memory_order_relaxed);
  return mark_drops(f) == marking::no_room && in_order ? -EAGAIN : put(f, iov, count, n);
}

ssize_t drop(file &f, std::size_t n) noexcept {
  f.dropped.fetch_add(n, std::memory_order_relaxed);
  f.dropped_calls.fetch_add(1, std::memory_order_relaxed);
  ++calls_dropped;
  note_drop(f, n);
  hurry(f);
  return static_cast<ssize_t>(n);
}

} // namespace

bool write_shared(int handle, const void *buf, std::size_t n) noexcept {
  write_memory &last = last_write;
  if (n - 1 >= limits::atomic_bytes || !buf || handle < 0) return false;
  file *f = files.at(slot_of(handle));
  if (!f) return false;
  const write_stream &to = stream_of_caller(*f);
  const std::uint64_t tail = to.tail(), key = std::uint64_t{static_cast<unsigned>(handle)} + 1;
  const bool known = last.handle == key && last.tail == tail;
  if (!known && !files.valid(handle)) return false;
  chunk *c = known ? last.in : to.chunk_of(tail);
  write_stream::reservation r;
  if (!c || !write_stream::reserve_in(c, tail, static_cast<std::uint32_t>(n), &r)) return false;
  if (!known) {
    last = {key, {}, tail, c};
    last.owned.remember(c, r.generation);
    note_write(*f);
  }
  std::memcpy(r.data, buf, n);
  write_stream::commit(r);
  return true;
}

ssize_t write_file(file &f, const iovec *iov, int count, std::size_t n) noexcept {
  if (!f.can_write) return -EBADF;
  if (int e = error_for_writers(f)) return -e;
  if (n == 0) return 0;
  ssize_t r = put_behind_gap(f, iov, count, n);
  if (r == -EAGAIN || r == -ENOBUFS) {
    if (f.when_full == EF_FULL_DROP)
      r = drop(f, n);
    else if (f.when_full == EF_FULL_WAIT)
      r = wait_for_room(f, iov, count, n);
    else
      r = refuse(f, r);
  }
  // A chunk taken in vain was given back without a word to those refused because of it: by a call that failed, too.
  if (r != -EAGAIN && armed(f, EF_WRITE)) tell_room(f);
  return r;
}

bool maybe_writable(file &f) noexcept {
  if (state_of(f) == file_state::failed) return true; // every call tells the errno
  if (!f.can_write) return false;
  return error_for_writers(f) || (f.out.has_room() && here()->chunks.may_take_large());
}

} // namespace ef

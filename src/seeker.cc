// SPDX-License-Identifier: BSD-2-Clause
// ef_seek: where the two positions of a file go.
#include "flusher.hh"
#include "lanes.hh"
#include "limits.hh"
#include "port.hh"
#include "reader.hh"
#include "reading_turn.hh"
#include "reopener.hh"
#include "sys.hh"

#include <efio.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ef {
namespace {

std::int64_t write_position(const file &f) noexcept {
  return f.write_base.load(std::memory_order_relaxed) +
         static_cast<std::int64_t>(f.out.accepted() - f.write_base_since.load(std::memory_order_relaxed));
}

// Where the bytes end that were accepted since the last ef_seek; 0: there are none.
std::int64_t end_of_run(const file &f) noexcept {
  return f.out.accepted() > f.write_base_since.load(std::memory_order_relaxed) ? write_position(f) : 0;
}

// What `whence` counts from, or a negated errno (EAGAIN armed).
off_t seek_origin(file &f, int whence) noexcept {
  if (whence == SEEK_SET) return 0;
  if (whence == SEEK_CUR) return f.can_read ? f.position : write_position(f);
  if (f.append && f.can_read) { // the kernel decides where the bytes on their way end
    ssize_t r = check_ready(f);
    if (r <= 0) return r;
  }
  const bool all_written = f.out.empty(); // before the size: what is written in between counts in both
  struct stat st;
  int r = sys->stat_now(f.osfd, &st);
  if (r < 0) return r;
  if (!f.can_write || f.append || all_written) return st.st_size;
  // Bytes on their way count, those of earlier places too.
  return std::max({st.st_size, end_of_run(f), f.write_end.load(std::memory_order_relaxed)});
}

// The budget is full of bytes for other places. The event comes when there is room, or, where reading comes first,
// when all is written.
ssize_t refuse(file &f) noexcept {
  const unsigned bit = f.can_read ? EF_READ : EF_WRITE;
  flush_now(f);
  // The error: pairs with stick_error, whose event may have come before the arming.
  return wait_while(f, bit, [](file &g) { return !g.out.has_much_room() && !g.error.load(std::memory_order_seq_cst); });
}

ssize_t seek_writes(file &f, std::int64_t to) noexcept {
  if (!f.can_write || f.append || to == write_position(f)) return 0;
  if (int e = f.error.load(std::memory_order_acquire)) return -e; // pairs with stick_error
  const bool all_written = f.out.empty();
  const std::int64_t end = end_of_run(f);
  std::uint64_t at; // not `accepted`: another thread's bytes may be behind the marker already
  if (int r = f.out.move_to(to, &at)) {
    const int e = sticking_for_writers(f);
    return r == -EPIPE ? (e ? -e : -EBADF) : r == -EAGAIN ? refuse(f) : r;
  }
  // What is in the file counts there, also when it is cut short later.
  const std::int64_t farthest = all_written ? 0 : std::max(end, f.write_end.load(std::memory_order_relaxed));
  f.write_end.store(farthest, std::memory_order_relaxed);
  f.write_base_since.store(at, std::memory_order_relaxed);
  f.write_base.store(to, std::memory_order_relaxed);
  note_write(f);
  if (f.out.backlog()) schedule_flush(f);
  return 0;
}

int wait_for_open(file &f) noexcept {
  const unsigned bit = f.can_read ? EF_READ : EF_WRITE;
  if (state_of(f) == file_state::opening)
    return static_cast<int>(wait_while(f, bit, [](file &g) { return state_of(g) == file_state::opening; }));
  return state_of(f) == file_state::failed ? -f.open_error.load(std::memory_order_acquire) : 0; // pairs with the opener
}

} // namespace

off_t seek_file(file &f, off_t offset, int whence) noexcept {
  reading_turn turn(f);
  if (!turn) return -EBUSY;
  if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) return -EINVAL;
  if (int r = wait_for_open(f)) return r;
  if (!f.seekable || f.by_thread.load(std::memory_order_relaxed) || rotates(f.turns)) return -ESPIPE;
  if (reopening(f)) return wait_while(f, EF_WRITE, reopening); // for writing only; where its bytes go is not known yet
  off_t origin = seek_origin(f, whence), to;
  if (origin < 0) return origin;
  if (__builtin_add_overflow(origin, offset, &to) || to > limits::position_max) return -EOVERFLOW;
  if (to < 0) return -EINVAL;
  if (ssize_t r = seek_writes(f, to)) return r;
  if (f.can_read && to != f.position) start_over_at(f, to);
  return to;
}

} // namespace ef

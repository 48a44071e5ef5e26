// SPDX-License-Identifier: BSD-2-Clause
// What was dropped is counted, and taken out of the count by whoever writes the line that tells it.
#include "drop_marker.hh"

#include "clock.hh"
#include "flusher.hh"
#include "lanes.hh"
#include "limits.hh"
#include "uncancelled.hh"

#include <sched.h>

namespace ef {
namespace {

// The calls, which are not 0, in one line, with the chunk it goes to at hand: a line that was composed has its place.
std::size_t compose(drop_marker &d, char *line) noexcept {
  const std::uint64_t calls = d.calls.exchange(0, std::memory_order_acquire); // pairs with note_drop
  if (calls == 0) return 0;
  const std::uint64_t bytes = d.bytes.exchange(0, std::memory_order_relaxed); // not older than the calls
  const std::size_t n = d.compose(d.arg, calls, bytes, line, limits::drop_mark_bytes);
  if (n <= limits::drop_mark_bytes) return n;
  line[limits::drop_mark_bytes - 1] = '\n'; // as snprintf left it there is a 0
  return limits::drop_mark_bytes;
}

// By whoever has the phase, which is composing or ended.
marking put_mark(file &f) noexcept {
  note_lane(f);
  write_stream &to = stream_of_caller(f);
  chunk *c;
  if (!f.out.has_room() || to.take_ahead(limits::drop_mark_bytes, &c) != 0) return marking::no_room;
  uncancelled until_done;                  // the host composes it
  char line[limits::drop_mark_bytes] = {}; // the host may answer more than it has written
  const std::size_t n = compose(f.drops, line);
  marker_phase was = marker_phase::composing;
  // release: pairs with the acquires; of the phases only `ended` is there besides.
  f.drops.phase.compare_exchange_strong(was, marker_phase::putting, std::memory_order_release,
                                        std::memory_order_relaxed);
  if (!to.put_ahead(c, line, n)) return marking::nothing; // none wanted, or closed
  note_write(f);
  return marking::done;
}

bool gap_in_use(const file &f) noexcept {
  // seq_cst: after what was stored before by whoever makes room; pairs with note_drop.
  return f.drops.calls.load(std::memory_order_seq_cst) > 0 &&
         !f.error.load(std::memory_order_acquire) && // pairs with stick_error
         state_of(f) != file_state::failed;
}

} // namespace

void init_drop_marker(file &f, const ef_file_options &o) noexcept {
  drop_marker &d = f.drops; // published with the slot
  d.compose = o.drop_mark;
  d.arg = o.drop_mark_arg;
  d.phase.store(marker_phase::idle, std::memory_order_relaxed);
  d.calls.store(0, std::memory_order_relaxed);
  d.bytes.store(0, std::memory_order_relaxed);
}

void note_drop(file &f, std::size_t n) noexcept {
  drop_marker &d = f.drops;
  if (!d.compose) return;
  // Bytes first: then those of each call that is taken from the count are there. The bytes of a call that is being
  // dropped at the time may be told one line before it.
  d.bytes.fetch_add(n, std::memory_order_relaxed); // ordered by the next
  d.calls.fetch_add(1, std::memory_order_seq_cst); // before the look at `trouble`, or the lane; pairs with gap_in_use
}

marking mark_drops(file &f) noexcept {
  if (!gap_in_use(f)) return marking::nothing;
  std::atomic<marker_phase> &phase = f.drops.phase;
  marker_phase was = marker_phase::idle;
  // acquire: pairs with the release that ended the last call of the host's function.
  if (!phase.compare_exchange_strong(was, marker_phase::composing, std::memory_order_acquire)) return marking::nothing;
  const marking r = put_mark(f);
  was = phase.load(std::memory_order_relaxed); // release: pairs with the acquires
  if (was != marker_phase::ended) phase.compare_exchange_strong(was, marker_phase::idle, std::memory_order_release);
  return r;
}

void end_drop_marks(file &f) noexcept {
  drop_marker &d = f.drops;
  if (!d.compose) return;
  // A line that is being put is waited for but so long: chunks that come back on the way are told to the hosts of other
  // files, and we may be called by one of them.
  const std::int64_t deadline = now_ns() + limits::drop_mark_wait_ns;
  for (;;) {
    marker_phase was = marker_phase::idle;
    // acquire: pairs with the releases of mark_drops and put_mark.
    if (d.phase.compare_exchange_strong(was, marker_phase::ended, std::memory_order_acquire)) break;
    if (was == marker_phase::ended) return;
    if (was == marker_phase::putting && left_ns(deadline) == 0 &&
        d.phase.compare_exchange_strong(was, marker_phase::ended, std::memory_order_acquire))
      return;
    ::sched_yield();
  }
  if (gap_in_use(f)) put_mark(f);
}

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// Lines of the host that stand in a file where EF_FULL_DROP has left a gap.
#ifndef EF_DROP_MARKER_HH
#define EF_DROP_MARKER_HH

#include <efio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

struct file;

// Whoever has moved it from idle to composing calls the host's function, then puts the line. ended: closed, for good.
enum class marker_phase : std::uint8_t { idle, composing, putting, ended };

struct drop_marker {
  ef_drop_mark_fn *compose; // fixed from the open on; null: gaps are not marked
  void *arg;
  std::atomic<marker_phase> phase;
  std::atomic<std::uint64_t> calls, bytes; // dropped and not marked yet
};

void init_drop_marker(file &f, const ef_file_options &o) noexcept;

// A call of n bytes was dropped. Any thread with a reference.
void note_drop(file &f, std::size_t n) noexcept;

// Marks what was dropped since the last time, as a call of the calling thread. nothing: no gap, or another thread is at
// it. no_room: the gap is as it was. Any thread with a reference, or the lane. Lock-free but for the host's function.
enum class marking { nothing, done, no_room };
marking mark_drops(file &f) noexcept;

// The last time, if there is room, before the streams are closed: the host's function is not called any more when it
// returns. Blocking, for as long as another thread is in that function.
void end_drop_marks(file &f) noexcept;

} // namespace ef
#endif

// SPDX-License-Identifier: BSD-2-Clause
// The way of accepted bytes to the disk: one lane a file, run by the flusher threads: write, sync, close.
#ifndef EF_FLUSHER_HH
#define EF_FLUSHER_HH

#include "file.hh"
#include "process.hh"

#include <cstdint>

namespace ef {

// After bytes were reserved and before they are committed (or with a reference): sees to it that a flush comes. Any
// thread.
void mark_dirty(file &f) noexcept;
inline void note_write(file &f) noexcept {
  if (!f.dirty.load(std::memory_order_seq_cst))
    mark_dirty(f); // pairs with the lane's lowering, then looking at the stream
}

// Runs the lane soon: it writes whole units, the rest waits for its age. Any thread with a reference or a pin.
// at_leisure: see worker_pool::submit.
void schedule_flush(file &f, bool at_leisure = false) noexcept;
// The same for everything accepted so far, however little. The file must not be vacant.
void flush_now(file &f) noexcept;

// Raises a target to at least `to`. seq_cst: pairs with the lane's look.
void raise(std::atomic<std::uint64_t> &target, std::uint64_t to) noexcept;

// The last reference of a closed file was put: gives the descriptor back, in the background.
void schedule_release(file &f) noexcept;
inline void put_reference(file &f) noexcept {
  if (files.put(slot_of(f))) schedule_release(f);
}
// fn(file), with a reference for the length of the call; handles whose life is over are passed over. Any thread.
template<class Fn> void each_open_file(Fn fn) noexcept {
  for (std::uint32_t i = 0, n = files.high_water(); i < n; ++i) {
    file *f;
    if (files.get(files.handle_of(i), &f) != 0) continue;
    fn(*f);
    put_reference(*f);
  }
}

// After chunks came back by another way than the lane: calls the refused writer if there is room now.
void tell_room(file &f) noexcept;

// A writer found the process's pool exhausted: EF_WRITE is told when a chunk comes back. Any thread.
void await_chunk(file &f) noexcept;
void chunk_returned(void *process) noexcept; // for the pool

void init_flushing(file &f) noexcept; // a new life

} // namespace ef
#endif

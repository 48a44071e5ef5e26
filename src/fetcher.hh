// SPDX-License-Identifier: BSD-2-Clause
// Background reads of a file: a few under way at once, taken over in the order in which they were begun.
#ifndef EF_FETCHER_HH
#define EF_FETCHER_HH

#include "file.hh"

namespace ef {

// All but head_state: the holder of the reading turn.

// Of the fetch whose bytes come next; idle: none is under way. Any thread.
inline fetch_state head_state(const file &f) noexcept {
  return f.fetches[f.fetch_oldest.load(std::memory_order_seq_cst) % limits::fetches_max].state.load(
      std::memory_order_seq_cst); // both pair with fetch_done
}
inline bool fetch_running(file &f) noexcept { return head_state(f) == fetch_state::running; }

void absorb(file &f) noexcept; // takes over what is over
// Begins where the last one ends. ahead: somebody will want it, perhaps. 0, -EBUSY as many as may be are under way, or
// -ENOMEM.
int start_fetch(file &f, bool ahead) noexcept;
void fetch_ahead(file &f) noexcept;    // as far as the window reaches
bool fetching(const file &f) noexcept; // bytes that are wanted are under way

// The reader goes on elsewhere: what is under way is not wanted any more.
void forget_fetches(file &f) noexcept;
// Nothing was asked for in vain: the window follows.
void note_hits(file &f) noexcept;

void init_fetching(file &f, std::size_t read_ahead_max) noexcept; // a new life
void end_fetching(file &f) noexcept;                              // no fetch is under way

} // namespace ef
#endif

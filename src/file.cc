// SPDX-License-Identifier: BSD-2-Clause
// Moving a file from state to state, and what its errors say.
#include "file.hh"

#include <efio.h>

#include "check.hh"

namespace ef {

void move_state(file &f, file_state to) noexcept {
  EF_CHECK(may_move(f.state.load(std::memory_order_relaxed), to));
  f.state.store(to, std::memory_order_seq_cst); // before the look at who waits for it; pairs with state_of after arming
}

int error_of(const file &f, unsigned bits) noexcept {
  if (int e = f.open_error.load(std::memory_order_acquire)) return e; // pairs with the opener
  if (bits == EF_READ) return 0;
  if (bits == EF_OPEN) return f.reopen_error.load(std::memory_order_acquire); // pairs with open_anew
  if (int e = f.error.load(std::memory_order_acquire)) return e;              // pairs with stick_error
  if (bits & EF_SYNC)
    if (int e = f.sync_error.load(std::memory_order_acquire)) return e; // pairs with the lane
  if (bits & EF_ERROR)
    if (int e = f.last_trouble.load(std::memory_order_acquire)) return e; // pairs with the lane
  if (bits & EF_CLOSE)
    if (int e = f.trouble.load(std::memory_order_acquire)) return e; // pairs with the lane
  return bits & EF_CLOSE ? f.close_error.load(std::memory_order_acquire) : 0;
}

} // namespace ef

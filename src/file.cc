// SPDX-License-Identifier: BSD-2-Clause
// Moving a file from state to state.
#include "file.hh"

#include "check.hh"

namespace ef {

void move_state(file &f, file_state to) noexcept {
  EF_CHECK(may_move(f.state.load(std::memory_order_relaxed), to));
  f.state.store(to, std::memory_order_seq_cst); // before the look at who waits for it; pairs with state_of after arming
}

bool stick_error(file &f, int error) noexcept {
  int none = 0;
  return f.error.compare_exchange_strong(none, error, std::memory_order_seq_cst); // as move_state
}

} // namespace ef

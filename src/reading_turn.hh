// SPDX-License-Identifier: BSD-2-Clause
// What the parts of reading share: who may read, and the two steps that reads and seeks both begin with.
#ifndef EF_READING_TURN_HH
#define EF_READING_TURN_HH

#include "file.hh"

namespace ef {

// One reader at a time, detected rather than trusted.
class reading_turn {
 public:
  explicit reading_turn(file &f) noexcept : f_(f), mine_(!f.reading.exchange(true, std::memory_order_acquire)) {}
  ~reading_turn() {
    if (mine_) f_.reading.store(false, std::memory_order_release); // pairs with the exchange of the next reader
  }
  explicit operator bool() const noexcept { return mine_; }

 private:
  file &f_;
  bool mine_;
};

// Throws away what was read ahead, a running fetch included, and goes on at `position`.
void start_over_at(file &f, std::int64_t position) noexcept;

// 1 = open, and own writes are in the kernel; or the answer for the caller: -EAGAIN (EF_READ armed), the errno of the
// open.
ssize_t check_ready(file &f) noexcept;

} // namespace ef
#endif

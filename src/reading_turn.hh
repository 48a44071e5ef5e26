// SPDX-License-Identifier: BSD-2-Clause
// What the parts of reading share: who may read, and the two steps that reads and seeks both begin with.
#ifndef EF_READING_TURN_HH
#define EF_READING_TURN_HH

#include "port.hh"

#include <sched.h>

namespace ef {

// One reader at a time, detected rather than trusted. Who only sees to a fetch for somebody that waits is no reader: he
// and a reader wait for each other, which takes no longer than a call that does not wait itself.
class reading_turn {
 public:
  explicit reading_turn(file &f, reading_by who = reading_by::reader) noexcept : f_(f) {
    for (;;) {
      reading_by holder = reading_by::nobody;
      mine_ = f.reading.compare_exchange_strong(holder, who, std::memory_order_acquire, std::memory_order_relaxed);
      if (mine_ || (who == reading_by::reader && holder == reading_by::reader)) return;
      ::sched_yield();
    }
  }
  ~reading_turn() {
    if (!mine_) return;
    const unsigned news = f_.news_after_turn;
    f_.news_after_turn = 0;
    f_.reading.store(reading_by::nobody, std::memory_order_release); // pairs with the swap of the next one
    if (news) post(f_, news);                                        // now: a notify function may read at once
  }
  reading_turn(const reading_turn &) = delete;
  reading_turn &operator=(const reading_turn &) = delete;
  explicit operator bool() const noexcept { return mine_; }

 private:
  file &f_;
  bool mine_;
};

// -EAGAIN, armed. If what was missing has come in between, the event comes at once: taking the arming back would take
// back that of another thread, too.
inline ssize_t wait_while(file &f, unsigned bit, bool (*missing)(file &)) noexcept {
  arm(f, bit);
  if (!missing(f)) f.news_after_turn |= bit;
  return -EAGAIN;
}

// Throws away what was read ahead, a running fetch included, and goes on at `position`.
void start_over_at(file &f, std::int64_t position) noexcept;

// 1 = open, and own writes are in the kernel; or the answer for the caller: -EAGAIN (EF_READ armed), the errno of the
// open.
ssize_t check_ready(file &f) noexcept;

} // namespace ef
#endif

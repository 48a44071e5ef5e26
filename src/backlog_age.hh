// SPDX-License-Identifier: BSD-2-Clause
// How long the oldest byte of a file has been waiting to be written, at most: known without a clock in the way of a
// write.
#ifndef EF_BACKLOG_AGE_HH
#define EF_BACKLOG_AGE_HH

#include <atomic>
#include <cstdint>

namespace ef {

struct file;

// Times of now_ns(). What is not written was accepted after `since`, and, if `dirty_since` is to be trusted, after
// that.
struct backlog_age {
  std::atomic<std::int64_t> since;       // the lane's
  std::atomic<std::int64_t> dirty_since; // before `dirty` was raised, which comes before any call's return
  std::atomic<std::int64_t> trusted;     // the lane's: `dirty_since` counts if it is not before this
  std::int64_t marked;                   // the lane's: what is behind the streams' age_mark was accepted after this
};

void init_age(file &f) noexcept;
std::int64_t age_ms(const file &f) noexcept; // of the oldest byte, if there is one, at most; rounded up. Any thread

// Whoever raised `dirty`; the clock was read before.
inline void note_dirty(backlog_age &a, std::int64_t before) noexcept {
  a.dirty_since.store(before, std::memory_order_release); // pairs with age_ms
}

// ---- The flush lane's

// Moves the bound on. Once a turn, and when all is written.
void advance_age(file &f) noexcept;

// Around the lowering of `dirty`. Bytes that came just before it were accepted before the one whose writer raises it
// again: then his time is not that of the oldest.
class lowering {
 public:
  explicit lowering(backlog_age &a) noexcept;
  void done(bool clean) noexcept; // clean: nothing was left after it

 private:
  backlog_age &a_;
  std::int64_t before_;
};

} // namespace ef
#endif

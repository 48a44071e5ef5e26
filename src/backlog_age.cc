// SPDX-License-Identifier: BSD-2-Clause
// Two marks, each a position and a time: while bytes before the newer one wait the older one counts.
#include "backlog_age.hh"

#include "clock.hh"
#include "lanes.hh"

#include <algorithm>

namespace ef {

void init_age(file &f) noexcept {
  backlog_age &a = f.age; // published with the slot
  a.marked = now_ns();
  a.since.store(a.marked, std::memory_order_relaxed);
  a.dirty_since.store(0, std::memory_order_relaxed);
  a.trusted.store(0, std::memory_order_relaxed);
}

void advance_age(file &f) noexcept {
  backlog_age &a = f.age;
  bool passed = true;
  each_stream(f, [&](const write_stream &s) { passed &= s.consumed() >= s.age_mark; });
  if (!passed) return;
  a.since.store(a.marked, std::memory_order_release); // pairs with age_ms
  // Before the positions. A lane of which nobody has heard yet has its mark at 0: whoever begins it says so before.
  a.marked = now_ns();
  each_stream(f, [](write_stream &s) { s.age_mark = s.accepted(); });
}

std::int64_t age_ms(const file &f) noexcept {
  const backlog_age &a = f.age;
  // First: whoever raised `dirty` after a lowering that was not clean has seen that he is not trusted, and so do we.
  // Pairs with note_dirty.
  const std::int64_t dirty_since = a.dirty_since.load(std::memory_order_acquire);
  const bool trusted = dirty_since >= a.trusted.load(std::memory_order_acquire); // pairs with lowering::done
  const std::int64_t since = a.since.load(std::memory_order_acquire);            // pairs with advance_age
  const std::int64_t ns = now_ns() - (trusted ? std::max(since, dirty_since) : since);
  return (std::max<std::int64_t>(ns, 1) + 999'999) / 1'000'000;
}

lowering::lowering(backlog_age &a) noexcept : a_(a), before_(now_ns()) {
  // Visible with the lowering to whoever raises `dirty` after it.
  a_.trusted.store(INT64_MAX, std::memory_order_relaxed);
}

void lowering::done(bool clean) noexcept {
  a_.trusted.store(clean ? before_ : now_ns() + 1, std::memory_order_release); // pairs with age_ms
}

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// The memory of interleave.hh: each atomic keeps the history of its stores, each thread a view of what it must have
// seen, so that a load may answer an older store where the memory orders allow that.
#ifndef EF_INTERLEAVE_MEMORY_HH
#define EF_INTERLEAVE_MEMORY_HH

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace interleave {

constexpr int threads_max = 6; // with the one that prepares and finishes
constexpr int locations_max = 192;

// What a thread knows: how far each thread had come (for happens-before), and of each location the oldest store that
// may still be read.
struct view {
  std::uint16_t clock[threads_max] = {};
  std::uint16_t known = 0;
  std::uint16_t oldest[locations_max]; // of the first `known` locations, 0 for the others

  std::uint16_t at(int location) const { return location < known ? oldest[location] : 0; }
  void raise(int location, int store) {
    grow(location + 1);
    oldest[location] = std::max<std::uint16_t>(oldest[location], static_cast<std::uint16_t>(store));
  }
  void join(const view &o) {
    for (int t = 0; t < threads_max; ++t) clock[t] = std::max(clock[t], o.clock[t]);
    grow(o.known);
    for (int i = 0; i < o.known; ++i) oldest[i] = std::max(oldest[i], o.oldest[i]);
  }
  void copy(const view &o) {
    std::copy(o.clock, o.clock + threads_max, clock);
    known = o.known;
    std::copy(o.oldest, o.oldest + known, oldest);
  }
  void clear() {
    std::fill(clock, clock + threads_max, 0);
    known = 0;
  }

 private:
  void grow(int to) {
    while (known < to) oldest[known++] = 0;
  }
};

struct message {
  std::uint64_t value;
  const view *published; // what an acquiring reader learns; NULL: nothing
};

struct location {
  std::vector<message> stores;
  std::uint16_t ordered = 0; // no seq_cst load reads an older one: the newest that a seq_cst operation wrote or read
};

// What a thread has besides its place in the program.
struct thread_memory {
  view now;
  view pending; // what an acquire fence would turn into knowledge
  view fenced;  // what stores after a release fence publish
  bool has_fence = false;
  void clear() {
    now.clear();
    pending.clear();
    has_fence = false;
  }
};

inline bool acquires(std::memory_order o) {
  return o == std::memory_order_acquire || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst ||
         o == std::memory_order_consume;
}
inline bool releases(std::memory_order o) {
  return o == std::memory_order_release || o == std::memory_order_acq_rel || o == std::memory_order_seq_cst;
}
inline bool is_total(std::memory_order o) { return o == std::memory_order_seq_cst; }

// One execution's memory. The order of the stores of a location is the order in which they are executed; what may vary
// is which of them a load sees.
class memory {
 public:
  void clear() {
    locations_ = 0;
    views_ = 0;
  }
  int add(std::uint64_t initial) {
    if (locations_ == locations_max) return -1;
    if (static_cast<std::size_t>(locations_) == all_.size()) all_.emplace_back();
    location &l = all_[locations_];
    l.stores.clear();
    l.stores.push_back({initial, nullptr});
    l.ordered = 0;
    return locations_++;
  }
  const location &of(int id) const { return all_[id]; }
  int newest(int id) const { return static_cast<int>(all_[id].stores.size()) - 1; }
  // The oldest store that this load may answer.
  int floor(int id, const thread_memory &t, std::memory_order o) const {
    int f = t.now.at(id);
    return is_total(o) ? std::max<int>(f, all_[id].ordered) : f;
  }

  std::uint64_t read(int id, int store, thread_memory &t, std::memory_order o) {
    location &l = all_[id];
    t.now.raise(id, store);
    if (is_total(o)) l.ordered = std::max<std::uint16_t>(l.ordered, static_cast<std::uint16_t>(store));
    if (const view *v = l.stores[store].published) (acquires(o) ? t.now : t.pending).join(*v);
    return l.stores[store].value;
  }
  void write(int id, std::uint64_t value, thread_memory &t, std::memory_order o) {
    append(id, value, t, o, publish(id, t, o, nullptr));
  }
  // A store that goes with a read of the newest one: what that one published is passed on (a release sequence).
  std::uint64_t update(int id, std::uint64_t value, thread_memory &t, std::memory_order o) {
    int last = newest(id);
    const view *before = all_[id].stores[last].published;
    std::uint64_t old = read(id, last, t, o);
    append(id, value, t, o, publish(id, t, o, before));
    return old;
  }
  // Two words changed as one: who sees one half new cannot see the other half old.
  void update_pair(int a, std::uint64_t to_a, int b, std::uint64_t to_b, thread_memory &t) {
    const view *before = all_[a].stores.back().published, *other = all_[b].stores.back().published;
    const view *fence = t.has_fence ? &t.fenced : nullptr;
    for (int id : {a, b}) read(id, newest(id), t, std::memory_order_relaxed);
    view &v = fresh();
    v.clear();
    for (const view *from : {before, other, fence})
      if (from) v.join(*from);
    v.raise(a, newest(a) + 1);
    v.raise(b, newest(b) + 1);
    append(a, to_a, t, std::memory_order_relaxed, &v);
    append(b, to_b, t, std::memory_order_relaxed, &v);
  }
  static void fence_acquire(thread_memory &t) { t.now.join(t.pending); }
  static void fence_release(thread_memory &t) {
    t.fenced.copy(t.now);
    t.has_fence = true;
  }

 private:
  view &fresh() {
    if (views_ == pool_.size()) pool_.emplace_back();
    return pool_[views_++];
  }
  const view *publish(int id, const thread_memory &t, std::memory_order o, const view *before) {
    const view *mine = releases(o) ? &t.now : t.has_fence ? &t.fenced : nullptr;
    if (!mine) return before;
    view &v = fresh();
    v.copy(*mine);
    if (before) v.join(*before);
    v.raise(id, newest(id) + 1);
    return &v;
  }
  void append(int id, std::uint64_t value, thread_memory &t, std::memory_order o, const view *published) {
    location &l = all_[id];
    l.stores.push_back({value, published});
    t.now.raise(id, newest(id));
    if (is_total(o)) l.ordered = static_cast<std::uint16_t>(newest(id));
  }

  std::deque<location> all_;
  std::deque<view> pool_;
  int locations_ = 0;
  std::size_t views_ = 0;
};

} // namespace interleave
#endif

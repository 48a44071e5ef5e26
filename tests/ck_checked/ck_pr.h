// SPDX-License-Identifier: BSD-2-Clause
// Concurrency Kit's operations on words, as far as lockfree/ uses them, in the world of interleave.hh: a test includes
// this, then a C file of lockfree/, which then finds its ck_pr.h to have been included already. The accesses are
// relaxed, the fences are what orders them.
#ifndef CK_PR_H
#define CK_PR_H
#define EF_LOCKFREE_CK_WORDS_H // these words need no other form for ThreadSanitizer

#include "interleave.hh"

#define CK_F_PR_CAS_PTR_2_VALUE

namespace interleave {

// Words of plain memory, by address. What is newest is also in the memory itself, for plain reads of an owner.
class plain_words {
 public:
  static int id_of(const void *at) {
    static plain_words all;
    engine &e = engine::the();
    if (all.execution_ != e.execution()) {
      all.execution_ = e.execution();
      all.count_ = 0;
    }
    int i = 0;
    while (i < all.count_ && all.at_[i] != at) ++i;
    if (i == most) e.fail("too many plain words");
    if (i == all.count_) {
      all.at_[all.count_++] = at;
      all.cells_[i] = {};
      std::memcpy(&all.cells_[i].value, at, sizeof(void *));
    }
    return e.id_of(all.cells_[i]);
  }

 private:
  static constexpr int most = 32;
  std::uint32_t execution_ = 0;
  int count_ = 0;
  const void *at_[most];
  cell cells_[most];
};

inline std::uint64_t bits(const void *p) { return reinterpret_cast<std::uintptr_t>(p); }

inline void *plain_load(const void *from) {
  engine &e = engine::the();
  e.step();
  int id = plain_words::id_of(from), newest = e.words().newest(id);
  int store = newest - e.choose_stale(newest - e.words().floor(id, e.mine(), std::memory_order_relaxed) + 1);
  std::uint64_t v = e.words().read(id, store, e.mine(), std::memory_order_relaxed);
  e.record("thread %d: load word %d%s\n", e.self(), id, store == newest ? "" : " (old)");
  return reinterpret_cast<void *>(v);
}

inline void plain_store(void *to, const void *value) {
  engine &e = engine::the();
  e.step();
  int id = plain_words::id_of(to);
  e.tick();
  e.words().write(id, bits(value), e.mine(), std::memory_order_relaxed);
  e.progress();
  std::memcpy(to, &value, sizeof value);
  e.record("thread %d: store word %d\n", e.self(), id);
}

inline void *plain_exchange(void *to, const void *value) {
  engine &e = engine::the();
  e.step();
  int id = plain_words::id_of(to);
  e.tick();
  std::uint64_t old = e.words().update(id, bits(value), e.mine(), std::memory_order_relaxed);
  e.progress();
  std::memcpy(to, &value, sizeof value);
  e.record("thread %d: exchange word %d\n", e.self(), id);
  return reinterpret_cast<void *>(old);
}

inline bool plain_swap(void *to, const void *old, const void *value, void *seen) {
  engine &e = engine::the();
  e.step();
  int id = plain_words::id_of(to);
  std::uint64_t now = e.words().of(id).stores.back().value;
  std::memcpy(seen, &now, sizeof(void *));
  if (now != bits(old)) {
    e.words().read(id, e.words().newest(id), e.mine(), std::memory_order_relaxed);
    e.record("thread %d: swap word %d (failed)\n", e.self(), id);
    return false;
  }
  e.tick();
  e.words().update(id, bits(value), e.mine(), std::memory_order_relaxed);
  e.progress();
  std::memcpy(to, &value, sizeof value);
  e.record("thread %d: swap word %d\n", e.self(), id);
  return true;
}

inline bool plain_swap_pair(void *to, const void *old, const void *value, void *seen) {
  engine &e = engine::the();
  e.step();
  void **half = static_cast<void **>(to);
  int a = plain_words::id_of(half), b = plain_words::id_of(half + 1);
  std::uint64_t was[2], now[2] = {e.words().of(a).stores.back().value, e.words().of(b).stores.back().value}, v[2];
  std::memcpy(was, old, sizeof was);
  std::memcpy(v, value, sizeof v);
  std::memcpy(seen, now, sizeof now);
  bool good = was[0] == now[0] && was[1] == now[1];
  e.record("thread %d: swap words %d and %d%s\n", e.self(), a, b, good ? "" : " (failed)");
  if (!good) {
    for (int id : {a, b}) e.words().read(id, e.words().newest(id), e.mine(), std::memory_order_relaxed);
    return false;
  }
  e.tick();
  e.words().update_pair(a, v[0], b, v[1], e.mine());
  e.progress();
  std::memcpy(to, v, sizeof v);
  return true;
}

} // namespace interleave

#define ck_pr_load_ptr(from) interleave::plain_load(from)
#define ck_pr_store_ptr(to, value) interleave::plain_store((to), (value))
#define ck_pr_fas_ptr(to, value) interleave::plain_exchange((to), (value))
#define ck_pr_cas_ptr_value(to, old, value, seen) interleave::plain_swap((to), (old), (value), (seen))
#define ck_pr_cas_ptr_2_value(to, old, value, seen) interleave::plain_swap_pair((to), (old), (value), (seen))
#define ck_pr_fence_acquire() interleave::memory::fence_acquire(interleave::engine::the().mine())
#define ck_pr_fence_release() interleave::memory::fence_release(interleave::engine::the().mine())

#endif

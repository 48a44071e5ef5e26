// SPDX-License-Identifier: BSD-2-Clause
// The chunk memory of the process: type-stable, two sizes, recycled last-in first-out, bounded, given back when idle.
#ifndef EF_CHUNK_HH
#define EF_CHUNK_HH

#include "free_list.h"
#include "stream_chunk.hh"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

using chunk = stream_chunk<std::atomic>;

class chunk_pool {
 public:
  // on_return(arg): after every give() and trim(), on that thread: somebody may have been refused a chunk.
  [[nodiscard]] int init(void (*on_return)(void *), void (*low)(void *), void *arg) noexcept;

  // null: the bound is reached, or (small) no memory. Any thread. Lock-free, except that an empty pool maps a slab.
  chunk *take_large() noexcept;
  chunk *take_large_at_hand() noexcept; // null also if memory would have to be mapped; lock-free
  chunk *take_small() noexcept;
  void give(chunk *c) noexcept; // any thread, lock-free

  chunk *at(std::uint32_t index) const noexcept {
    return table_[index].load(std::memory_order_acquire);
  } // pairs with add_slab
  bool may_take_large() const noexcept;
  bool at_bound() const noexcept; // none is made any more: to get one is to wait for one, not for memory

  void refill() noexcept; // background: one more slab, its pages touched, when few large chunks are free
  void trim() noexcept;   // background, one thread: memory of free chunks beyond the kept ones goes back to the system

  bool worth_trimming() const noexcept; // any thread: a hint
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  static std::uint64_t bytes_max() noexcept;

 private:
  struct kind {
    bool large;
    ef_free_list hot{}, cold{}; // cold: without memory behind, header only
    ef_free_list slabs{};       // without headers either

    std::atomic<std::uint32_t> hot_count{0}, taken{0}; // a hint; made so far
  };
  struct pooled;
  struct slab;
  static pooled *of(chunk *c) noexcept;
  static pooled *of(ef_free_node *n) noexcept;
  chunk *pop(kind &k) noexcept;
  chunk *take(kind &k) noexcept;
  bool add_slab(kind &k, bool touch) noexcept;
  bool revive_slab(kind &k) noexcept;
  void fill(kind &k, slab &s) noexcept;
  void trim(kind &k, std::uint32_t keep) noexcept;
  slab *gather_free(kind &k) noexcept;
  void discard(kind &k, slab &s, std::uint32_t *keep) noexcept;

  kind large_{.large = true}, small_{.large = false};
  std::atomic<chunk *> *table_ = nullptr;
  std::atomic<slab *> newest_{nullptr};   // all slabs: nobody walks them, but a leak checker sees that they are held
  std::atomic<std::uint32_t> indices_{1}; // 0 means none
  std::atomic<std::uint64_t> bytes_{0};
  void (*on_return_)(void *) = nullptr;
  void (*on_low_)(void *) = nullptr;
  void *arg_ = nullptr;
};

} // namespace ef
#endif

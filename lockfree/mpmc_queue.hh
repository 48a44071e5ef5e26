// SPDX-License-Identifier: BSD-2-Clause
// A bounded queue of 64-bit values, first in first out, any number of producers and consumers, that nobody can block.
#ifndef EF_LOCKFREE_MPMC_QUEUE_HH
#define EF_LOCKFREE_MPMC_QUEUE_HH

#include "index_ring.hh"

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

namespace ef {

// Contract.
//   Lock-free: a thread stopped inside push() or pop() delays nobody; it holds one cell of the capacity. Linearizable:
//   values come out in the order of the pushes, and "empty" is the truth at some moment of the call; a push that
//   happened before the call is never missed. "Full": all cells are in use, by values or by other calls under way.
//   Any thread. At most 2^order threads inside at a time (each needs a cell). No allocation after init().
//   push() is no seq_cst operation: wake consumers with event_count::notify_one(), not on the word of has_waiters().
// Algorithm: SCQ with indirection: a ring of free cells and a ring of used ones; see index_ring.hh.
template<template<class> class Atom = std::atomic> class mpmc_queue {
 public:
  mpmc_queue() noexcept = default;
  mpmc_queue(const mpmc_queue &) = delete;
  mpmc_queue &operator=(const mpmc_queue &) = delete;

  // Room for 2^order values, order 1 .. 20; 40 bytes each. Once, before anything else; false: no memory.
  [[nodiscard]] bool init(unsigned order) noexcept {
    values_.reset(new (std::nothrow) Atom<std::uint64_t>[std::size_t{1} << order]);
    return values_ && free_.init(order, true) && used_.init(order, false);
  }

  // False: full, the value is not in the queue.
  [[nodiscard]] bool push(std::uint64_t value) noexcept {
    std::uint64_t cell;
    if (!free_.take(&cell)) return false;
    values_[cell].store(value, std::memory_order_relaxed); // the cell is ours; put() publishes it
    used_.put(cell);
    return true;
  }

  // False: empty, *value is untouched.
  [[nodiscard]] bool pop(std::uint64_t *value) noexcept {
    std::uint64_t cell;
    if (!used_.take(&cell)) return false;
    *value = values_[cell].load(std::memory_order_relaxed); // the cell is ours; put() gives it away
    free_.put(cell);
    return true;
  }

 private:
  index_ring<Atom> free_, used_;
  std::unique_ptr<Atom<std::uint64_t>[]> values_;
};

} // namespace ef
#endif

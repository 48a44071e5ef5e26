// SPDX-License-Identifier: BSD-2-Clause
// A ring of small indices, first in first out, for any number of threads: the half of which mpmc_queue is made twice.
#ifndef EF_LOCKFREE_INDEX_RING_HH
#define EF_LOCKFREE_INDEX_RING_HH

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

namespace ef {

// Contract.
//   put() and take() are lock-free: a stopped thread delays nobody. "Nothing there" is linearizable. At most 2^order
//   indices, each below 2^order, are in the ring at a time (the user sees to it: they are names of 2^order cells), so
//   put() has no "full"; and at most 2^order threads are inside at a time, which is what the threshold counts on.
// Algorithm: SCQ (R. Nikolaev, A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue, DISC 2019). Positions
// are handed out by fetch-and-add; a cell holds {cycle, safe, index}; twice as many cells as indices, and a threshold
// of fruitless looks, make the ring free of livelock. Positions do not wrap: 2^63 of them last for centuries.
template<template<class> class Atom = std::atomic> class index_ring {
 public:
  // Allocates, once. full: the ring holds 0, 1, ... 2^order - 1; else nothing. False: no memory.
  bool init(unsigned order, bool full) noexcept {
    bits_ = order + 1;
    none_ = (std::uint64_t{1} << bits_) - 1;
    std::uint64_t cells = none_ + 1, items = cells / 2;
    limit_ = static_cast<std::int64_t>(cells + items - 1);
    cells_.reset(new (std::nothrow) Atom<std::uint64_t>[cells]);
    if (!cells_) return false;
    for (std::uint64_t p = 0; p < cells; ++p)
      at(p).store(full && p < items ? pack(1, p) : pack(0, none_), std::memory_order_relaxed);
    head_.store(cells, std::memory_order_relaxed);
    tail_.store(cells + (full ? items : 0), std::memory_order_relaxed);
    threshold_.store(full ? limit_ : -1, std::memory_order_relaxed);
    return true;
  }

  void put(std::uint64_t index) noexcept {
    for (;;) {
      std::uint64_t t = tail_.fetch_add(1, std::memory_order_relaxed), cycle = t >> bits_;
      Atom<std::uint64_t> &cell = at(t);
      for (;;) {
        // acquire: pairs with the release in pass(). Whoever sees a cell marked unsafe also sees the head beyond the
        // position that marked it; a smaller head would let an item be put where nobody looks any more.
        std::uint64_t e = cell.load(std::memory_order_acquire);
        if (cycle_of(e) >= cycle || (e & none_) != none_) break;
        if (!is_safe(e) && head_.load(std::memory_order_relaxed) > t) break;
        // release: what the caller wrote before is there for the acquire in take().
        if (!cell.compare_exchange_weak(e, pack(cycle, index), std::memory_order_release, std::memory_order_relaxed))
          continue;
        // seq_cst: pairs with the decrements in take(). A limit read from before them would leave the item behind a
        // threshold that says "nothing there".
        if (threshold_.load(std::memory_order_seq_cst) != limit_)
          threshold_.store(limit_, std::memory_order_relaxed); // later than the decrements it replaces, by coherence
        return;
      }
    }
  }

  bool take(std::uint64_t *index) noexcept {
    if (threshold_.load(std::memory_order_relaxed) < 0) return false; // a put() that happened before has raised it
    for (;;) {
      std::uint64_t h = head_.fetch_add(1, std::memory_order_relaxed);
      Atom<std::uint64_t> &cell = at(h);
      std::uint64_t e = cell.load(std::memory_order_acquire); // pairs with the release in put()
      if (cycle_of(e) == h >> bits_ || !pass(cell, &e, h >> bits_)) {
        // relaxed: a read-modify-write, so an unsafe mark made between stays published as pass() did it.
        cell.fetch_or(none_, std::memory_order_relaxed);
        *index = e & none_;
        return true;
      }
      std::uint64_t t = tail_.load(std::memory_order_relaxed); // not older than any put() that happened before
      bool end = t <= h + 1;
      if (end) catch_up(t, h + 1);
      // seq_cst: pairs with the look at the threshold in put().
      if (threshold_.fetch_sub(1, std::memory_order_seq_cst) <= 0 || end) return false;
    }
  }

 private:
  // No item will ever be at this cell in this cycle: true. Or one has come meanwhile: false, *e holds it.
  bool pass(Atom<std::uint64_t> &cell, std::uint64_t *e, std::uint64_t cycle) noexcept {
    while (cycle_of(*e) < cycle) {
      bool vacant = (*e & none_) == none_;
      std::uint64_t to = vacant ? (*e & (none_ + 1)) | (cycle << (bits_ + 1)) | none_ : *e & ~(none_ + 1);
      // release: pairs with the acquire in put(), see there; also when the cell was unsafe already and stays as it is.
      // acquire: the item found instead, as in take().
      if (cell.compare_exchange_weak(*e, to, std::memory_order_release, std::memory_order_acquire)) return true;
    }
    return cycle_of(*e) != cycle;
  }

  // Takers have overtaken the tail: move it, lest putters try all those positions in vain. Speed only, so relaxed.
  void catch_up(std::uint64_t tail, std::uint64_t head) noexcept {
    while (!tail_.compare_exchange_weak(tail, head, std::memory_order_relaxed, std::memory_order_relaxed)) {
      head = head_.load(std::memory_order_relaxed);
      if (tail >= head) return;
    }
  }

  // Neighbours in time are eight cells apart in memory: not on one cache line.
  Atom<std::uint64_t> &at(std::uint64_t position) noexcept {
    std::uint64_t j = position & none_;
    return cells_[bits_ < 6 ? j : ((j << 3) & none_) | (j >> (bits_ - 3))];
  }
  std::uint64_t pack(std::uint64_t cycle, std::uint64_t index) const noexcept { // a safe cell
    return (cycle << (bits_ + 1)) | (none_ + 1) | index;
  }
  std::uint64_t cycle_of(std::uint64_t e) const noexcept { return e >> (bits_ + 1); }
  bool is_safe(std::uint64_t e) const noexcept { return e & (none_ + 1); }

  unsigned bits_ = 0;      // of a position within the ring
  std::uint64_t none_ = 0; // mask of the index; all ones: no index
  std::int64_t limit_ = 0; // fruitless looks after which nothing can be there: 3 * 2^order - 1
  std::unique_ptr<Atom<std::uint64_t>[]> cells_;
  alignas(128) Atom<std::uint64_t> head_{0};
  alignas(128) Atom<std::uint64_t> tail_{0};
  alignas(128) Atom<std::int64_t> threshold_{-1};
};

} // namespace ef
#endif

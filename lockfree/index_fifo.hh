// SPDX-License-Identifier: BSD-2-Clause
// A queue of indices, first in first out, whose links sit where the indices point: the free slots of a slot_table.
#ifndef EF_LOCKFREE_INDEX_FIFO_HH
#define EF_LOCKFREE_INDEX_FIFO_HH

#include <atomic>
#include <cstdint>

namespace ef {

// Contract.
//   Lock-free, linearizable, any thread, no memory of its own. An index is in the queue at most once. One index always
//   stays behind: the queue of k of them gives k - 1, the last one when another has been put.
//   Links must be type-stable: a stale thread reads the link of an index that is out of the queue.
//   Each word carries a 32-bit tag that its every change raises: a thread would have to be stopped for 2^32 changes,
//   to the exact one, to take an old word for a new one.
// Algorithm: M. Michael, M. Scott, Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue Algorithms,
// PODC 1996. The queue holds no values, the nodes themselves are what is queued: so take() gives the node that was the
// dummy and leaves its successor as the next dummy.
//
// Links: Atom<std::uint64_t> &link(std::uint32_t index), zero at first.
template<template<class> class Atom = std::atomic> class index_fifo {
 public:
  static constexpr std::uint32_t none = 0xffffffff;

  template<class Links> void put(Links &links, std::uint32_t index) noexcept {
    Atom<std::uint64_t> &mine = links.link(index);
    // release: pairs with the acquire of next below. Whoever sees this link cut, though not in the queue yet, also sees
    // that the tail has left the index long ago.
    mine.store(pack(tag_of(mine.load(std::memory_order_relaxed)) + 1, none), std::memory_order_release);
    for (;;) {
      std::uint64_t t = tail_.load(std::memory_order_acquire); // pairs with move(): the link of the node it names
      Atom<std::uint64_t> &last = link_of(links, index_of(t));
      std::uint64_t next = last.load(std::memory_order_acquire);
      if (tail_.load(std::memory_order_relaxed) != t) continue;
      if (index_of(next) != none) {
        move(tail_, t, index_of(next));
        continue;
      }
      // release: the cut link, and what the caller did before; pairs with the acquire in take().
      if (!last.compare_exchange_strong(next, pack(tag_of(next) + 1, index), std::memory_order_release,
                                        std::memory_order_relaxed))
        continue;
      move(tail_, t, index);
      return;
    }
  }

  // none: nothing there.
  template<class Links> std::uint32_t take(Links &links) noexcept {
    for (;;) {
      std::uint64_t h = head_.load(std::memory_order_acquire);                          // pairs with move()
      std::uint64_t t = tail_.load(std::memory_order_acquire);                          // pairs with move()
      std::uint64_t next = link_of(links, index_of(h)).load(std::memory_order_acquire); // pairs with put()
      if (index_of(next) == none) {
        if (head_.load(std::memory_order_relaxed) == h) return none;
        continue;
      }
      if (index_of(h) == index_of(t)) { // the tail lags behind, and must not be overtaken
        move(tail_, t, index_of(next));
        continue;
      }
      // If the link was not that of the queue any more, the head has moved, and this fails by its tag.
      if (move(head_, h, index_of(next)) && index_of(h) != first) return index_of(h);
    }
  }

  // How many take() would give about now.
  std::uint32_t waiting() const noexcept {
    std::uint32_t taken = tag_of(head_.load(std::memory_order_relaxed));
    std::int32_t n = static_cast<std::int32_t>(tag_of(tail_.load(std::memory_order_relaxed)) - taken);
    return n < 0 ? 0 : static_cast<std::uint32_t>(n);
  }

 private:
  static constexpr std::uint32_t first = 0xfffffffe; // the dummy of an empty queue: no index

  static std::uint64_t pack(std::uint32_t tag, std::uint32_t index) noexcept {
    return std::uint64_t{tag} << 32 | index;
  }
  static std::uint32_t tag_of(std::uint64_t w) noexcept { return static_cast<std::uint32_t>(w >> 32); }
  static std::uint32_t index_of(std::uint64_t w) noexcept { return static_cast<std::uint32_t>(w); }

  template<class Links> Atom<std::uint64_t> &link_of(Links &links, std::uint32_t index) noexcept {
    return index == first ? first_link_ : links.link(index);
  }

  // release: pairs with the acquire loads of head and tail; the node it moves to was read by acquire.
  static bool move(Atom<std::uint64_t> &end, std::uint64_t from, std::uint32_t index) noexcept {
    return end.compare_exchange_strong(from, pack(tag_of(from) + 1, index), std::memory_order_release,
                                       std::memory_order_relaxed);
  }

  alignas(64) Atom<std::uint64_t> head_{first};
  alignas(64) Atom<std::uint64_t> tail_{first};
  Atom<std::uint64_t> first_link_{none};
};

} // namespace ef
#endif

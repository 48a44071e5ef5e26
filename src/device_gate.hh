// SPDX-License-Identifier: BSD-2-Clause
// How many threads of a pool are at work on one device: one that hangs must not have them all.
#ifndef EF_DEVICE_GATE_HH
#define EF_DEVICE_GATE_HH

#include "limits.hh"
#include "take_all_list.h"
#include "worker_pool.hh"

#include <sys/types.h>

#include <array>
#include <atomic>

namespace ef {

// Jobs that are kept: the process's own list, or a model's.
struct kept_jobs {
  ef_list list{};
  void push(job *j) noexcept { ef_list_push(&list, &j->node); }
  job *take_all() noexcept { return reinterpret_cast<job *>(ef_list_empty(&list) ? nullptr : ef_list_take_all(&list)); }
  static job *next(job *j) noexcept { return reinterpret_cast<job *>(j->node.next); }
};

// enter(): a job may go on, or is kept until somebody leaves, who hands it to submit(job *); then it must not be
// touched any more. Whoever is kept does not wait. Any thread, lock-free. Nobody is forgotten: a job is put on the list
// before its count goes down, and whoever's count makes room takes the list.
//
// A job that may be called off looks at that between calls() and enter(); if it was kept and calls() has changed,
// submit_kept(). Whoever calls it off says so first, then call(): one of both sees the other.
template<template<class> class Atom = std::atomic, class Kept = kept_jobs> class basic_device_gate {
 public:
  template<class Job, class Submit> [[nodiscard]] bool enter(Job *j, int most, Submit submit) noexcept {
    if (inside_.fetch_add(1, std::memory_order_seq_cst) < most) return true; // pairs with leave
    kept_.push(j);
    leave(most, submit);
    return false;
  }
  template<class Submit> void leave(int most, Submit submit) noexcept {
    if (inside_.fetch_sub(1, std::memory_order_seq_cst) > most) return; // it is full without us
    submit_kept(submit);
  }
  unsigned calls() const noexcept { return calls_.load(std::memory_order_seq_cst); }
  template<class Submit> void call(Submit submit) noexcept {
    calls_.fetch_add(1, std::memory_order_seq_cst); // pairs with calls
    submit_kept(submit);
  }
  template<class Submit> void submit_kept(Submit submit) noexcept {
    for (auto *j = kept_.take_all(); j;) {
      auto *next = Kept::next(j); // it is somebody else's once it is submitted
      submit(j);
      j = next;
    }
  }

 private:
  Atom<int> inside_{0};
  Atom<unsigned> calls_{0};
  Kept kept_;
};

// How many threads of one pool may be at work on one device; who is kept goes back to the pool.
class device_share {
 public:
  void init(worker_pool &pool, int most) noexcept { pool_ = &pool, most_ = most; }
  [[nodiscard]] bool enter(job *j) noexcept { return gate_.enter(j, most_, again()); }
  void leave() noexcept { gate_.leave(most_, again()); }
  unsigned calls() const noexcept { return gate_.calls(); }
  void call() noexcept { gate_.call(again()); }
  void submit_kept() noexcept { gate_.submit_kept(again()); }

 private:
  struct to_pool {
    worker_pool *pool;
    void operator()(job *kept) const { pool->submit(kept); }
  };
  to_pool again() const noexcept { return {pool_}; }
  basic_device_gate<> gate_;
  worker_pool *pool_ = nullptr;
  int most_ = 0;
};

// Of one device: those who write to it, of the flushers; those who read, of the readers.
struct device_gates {
  device_share writes, reads;
  device_share &of(bool write) noexcept { return write ? writes : reads; }
};

// Of all devices. Two whose numbers fall together share gates, which costs speed only when both are busy.
class device_table {
 public:
  void init(worker_pool &readers, worker_pool &flushers) noexcept {
    for (device_gates &g : gates_) {
      g.reads.init(readers, limits::readers_a_device);
      g.writes.init(flushers, limits::flushers_a_device);
    }
  }
  device_gates &of(dev_t device) noexcept { return gates_[device * 0x9e3779b97f4a7c15 >> 58]; }

 private:
  std::array<device_gates, 64> gates_{};
};

} // namespace ef
#endif

// SPDX-License-Identifier: BSD-2-Clause
// How many flusher threads are at work on one device: one that hangs must not have them all.
#ifndef EF_DEVICE_GATE_HH
#define EF_DEVICE_GATE_HH

#include "limits.hh"
#include "take_all_list.h"
#include "worker_pool.hh"

#include <sys/types.h>

#include <array>
#include <atomic>

namespace ef {

// enter(): a job may go on, or is kept until somebody leaves, who submits it again; then it must not be touched any
// more. Whoever is kept does not wait. Any thread, lock-free. Nobody is forgotten: a job is put on the list before its
// count goes down, and whoever's count makes room takes the list.
class device_gate {
 public:
  [[nodiscard]] bool enter(job *j, worker_pool &pool) noexcept {
    if (inside_.fetch_add(1, std::memory_order_seq_cst) < limits::flushers_a_device) return true;
    ef_list_push(&kept_, &j->node);
    leave(pool);
    return false;
  }
  void leave(worker_pool &pool) noexcept {
    if (inside_.fetch_sub(1, std::memory_order_seq_cst) > limits::flushers_a_device) return; // it is full without us
    for (ef_list_node *n = ef_list_empty(&kept_) ? nullptr : ef_list_take_all(&kept_), *next; n; n = next) {
      next = n->next;
      pool.submit(reinterpret_cast<job *>(n));
    }
  }

 private:
  std::atomic<int> inside_{0};
  ef_list kept_{};
};

// Of all devices. Two whose numbers fall together share a gate, which costs speed only when both are busy.
class device_gates {
 public:
  device_gate &of(dev_t device) noexcept { return gates_[device * 0x9e3779b97f4a7c15 >> 58]; }

 private:
  std::array<device_gate, 64> gates_;
};

} // namespace ef
#endif

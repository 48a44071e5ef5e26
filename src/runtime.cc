// SPDX-License-Identifier: BSD-2-Clause
// Default port, drain and exit.
#include "runtime.hh"

#include "clock.hh"
#include "flusher.hh"
#include "process.hh"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace ef {
namespace {

std::atomic<port *> default_port{nullptr};

bool of_this_process(const port &p) noexcept { return p.epoch == fork_epoch.load(std::memory_order_relaxed); }

void at_exit() {
  if (here()) drain(nullptr, limits::exit_drain_ms); // time up: the rest is lost, as with any buffer
}

void flush_all(const port *p) noexcept {
  each_open_file([=](file &f) {
    if (!p || f.home == p) flush_now(f);
  });
}

int wait_for(std::atomic<int> &busy, event_count<> &drained, std::int64_t deadline) noexcept {
  for (;;) {
    std::uint32_t key = drained.prepare_wait();
    if (busy.load(std::memory_order_seq_cst) == 0) { // pairs with port_not_busy
      drained.cancel_wait();
      return 0;
    }
    const std::int64_t left = left_ns(deadline);
    // Of what this thread has under way nobody else hears.
    if (engines_turn_own(left < 0 ? limits::ring_wait_ns : std::min(left, limits::ring_wait_ns)))
      drained.cancel_wait();
    else
      drained.wait(key, left);
    if (left_ns(deadline) == 0 && busy.load(std::memory_order_seq_cst) != 0) return -ETIMEDOUT;
  }
}

} // namespace

port *resolve_port(ef_port *given, int *error) noexcept {
  if (given) {
    auto *p = reinterpret_cast<port *>(given);
    *error = of_this_process(*p) ? 0 : -ECHILD;
    return *error ? nullptr : p;
  }
  port *p = default_port.load(std::memory_order_acquire); // pairs with the swap below
  if (p && of_this_process(*p)) return p;
  port *made = port_make(ef_port_options{}, error);
  if (!made) return nullptr;
  drain_at_exit();
  if (default_port.compare_exchange_strong(p, made, std::memory_order_acq_rel)) return made;
  port_release(*made);
  return p;
}

bool is_default_port(const port &p) noexcept { return &p == default_port.load(std::memory_order_relaxed); }

int drain(port *p, int timeout_ms) noexcept {
  std::int64_t deadline = deadline_ns(timeout_ms);
  flush_all(p);
  return p ? wait_for(p->busy, p->drained, deadline) : wait_for(here()->busy, here()->drained, deadline);
}

void drain_at_exit() noexcept {
  static std::atomic<bool> registered{false};
  // Without memory for the handler there is none: ef_drain still works.
  if (!registered.exchange(true, std::memory_order_relaxed)) std::atexit(at_exit);
}

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// What the two halves of a port share: the callback and its use, the bell, and the queue's one drainer.
#ifndef EF_PORT_NEWS_HH
#define EF_PORT_NEWS_HH

#include "port.hh"
#include "uncancelled.hh"

#include <cerrno>

namespace ef {

enum drainer : int { nobody, owner, sweeper }; // sweeper: for a moment, and calls nobody meanwhile

extern thread_local port *calling_for; // inside a callback of this port
extern thread_local port *taking_for;  // this thread takes the port's news, and will look at the queue: no bell

inline port_callback *current(const port &p) noexcept {
  return p.callback.load(
      std::memory_order_seq_cst); // pairs with the swap in port_set_callback, after `calling` was raised
}

// While one lives, a swap of the callback waits, so that what it read of the callback stays true. Raising `calling`
// before the look is what makes the swap quiescent. The caller holds a reference to the port.
class callback_use {
 public:
  explicit callback_use(port &p) noexcept : port_(p) {
    p.calling.fetch_add(1, std::memory_order_seq_cst);
    callback_ = current(p);
  }
  ~callback_use() {
    if (port_.calling.fetch_sub(1, std::memory_order_seq_cst) == 1) port_.quiet.notify_all();
  }
  callback_use(const callback_use &) = delete;
  callback_use &operator=(const callback_use &) = delete;

  bool at_once() const noexcept { return callback_ && callback_->notify; }

  // The event of a port with notify; null: the wake, if there is one.
  void call(const ef_event *event) const noexcept {
    if (!callback_ || !(event ? callback_->notify != nullptr : callback_->wake != nullptr)) return;
    int saved = errno;
    uncancelled until_done; // the host writes to its eventfd here
    port *outer = calling_for;
    calling_for = &port_;
    port_.wakes.fetch_add(1, std::memory_order_relaxed);
    if (event)
      callback_->notify(callback_->arg, event, 1);
    else
      callback_->wake(callback_->arg);
    calling_for = outer;
    errno = saved;
  }

 private:
  port &port_;
  port_callback *callback_;
};

void signal_fd(port &p) noexcept; // event_fd becomes readable

// New events are on the queue, which was empty before.
inline void ring_bell(port &p, const callback_use &use) noexcept {
  if (taking_for == &p) return;
  signal_fd(p);
  use.call(nullptr);
}

inline bool direct(const port &p) noexcept {
  return p.form.load(std::memory_order_acquire) == form_of_news::direct; // pairs with port_set_callback
}

ef_event event_of(const file &f, unsigned bits) noexcept;
// False: taken back meanwhile.
bool take_event(port &p, ef_list_node *n, ef_event *out) noexcept;
void drop(port &p, ef_list_node *n) noexcept; // the whole list

void hold_queue(port &p, drainer as) noexcept; // alone with the queue until `draining` is set back
bool news_waits(port &p) noexcept;
void deliver_queued(port &p) noexcept; // through the notify function
void sweep(port &p) noexcept;

} // namespace ef
#endif

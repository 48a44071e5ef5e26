// SPDX-License-Identifier: BSD-2-Clause
// Posting and waking. Each file is on its port's list at most once: the `listed` bit of its readiness word says so.
#include "port.hh"

#include "port_news.hh"
#include "process.hh"
#include "requester.hh"
#include "sys.hh"

#include <cerrno>
#include <new>

namespace ef {

using namespace ready_word;

thread_local port *calling_for = nullptr, *taking_for = nullptr;

namespace {

form_of_news form_of(const port_callback &c) noexcept {
  return c.notify ? form_of_news::direct : c.wake ? form_of_news::waking : form_of_news::queued;
}

} // namespace

port *port_make(const ef_port_options &options, int *error) noexcept {
  if ((*error = process_start()) != 0) return nullptr;
  port *p = new (std::nothrow) port{};
  if (!p) {
    *error = -ENOMEM;
    return nullptr;
  }
  p->at.event_fd.store(-1, std::memory_order_relaxed);
  p->references.store(1, std::memory_order_relaxed);
  p->epoch = fork_epoch.load(std::memory_order_relaxed);
  p->engine_used = select_engine(options.engine, here()->engines, &p->engine_reason, error);
  if (!p->engine_used) {
    delete p;
    return nullptr;
  }
  if (options.wake || options.notify) {
    p->callbacks[0] = {options.wake, options.notify, options.arg};
    p->callback.store(&p->callbacks[0], std::memory_order_relaxed);
    p->form.store(form_of(p->callbacks[0]), std::memory_order_relaxed);
    p->at.called_back.store(true, std::memory_order_relaxed);
  }
  return p;
}

void port_reference(port &p) noexcept { p.references.fetch_add(1, std::memory_order_relaxed); }

void port_release(port &p) noexcept {
  if (p.references.fetch_sub(1, std::memory_order_acq_rel) != 1) return; // orders every use before the delete
  if (p.engine_used->hand_over) p.engine_used->hand_over(p.at, 0);
  int fd = p.at.event_fd.load(std::memory_order_relaxed);
  if (fd >= 0) sys->close(fd);
  delete &p;
}

void unpin(file &f) noexcept {
  if (f.pins.fetch_sub(1, std::memory_order_acq_rel) != 1) return; // orders every use before the reuse
  port &p = *f.home;
  int handle = f.handle;
  files.release(slot_of(handle));
  port_release(p);
}

namespace {

std::uint64_t firing(std::uint64_t w, unsigned bits) noexcept {
  return (armed_of(w) & bits) | (bits & (EF_ERROR | EF_SYNC));
}

void put_on_queue(port &p, const callback_use &use, ef_list_node *n) noexcept {
  if (ef_list_push(&p.ready, n)) ring_bell(p, use);
  if (p.abandoned.load(std::memory_order_seq_cst)) drop(p, ef_list_take_all(&p.ready)); // it missed the last look
}

// Room that there was when it was looked for, before the writer asked, may be gone. Then it is told when it comes
// again; an error that sticks is told at once. After who is armed was looked up.
bool full(const file &f) noexcept {
  return !f.out.has_room() && !f.open_error.load(std::memory_order_acquire) && // pairs with the opener
         !f.error.load(std::memory_order_acquire);                             // pairs with stick_error
}

void tell(file &f, port &p, const callback_use &use, unsigned bits, std::uint64_t sync) noexcept {
  std::uint64_t w = f.readiness.load(std::memory_order_seq_cst), to, fire;
  do {
    // After the load: a disarming that comes in between changes the word.
    if (sync && f.tells_muted.load(std::memory_order_seq_cst) >= sync) bits &= ~static_cast<unsigned>(EF_SYNC);
    fire = firing(w, bits);
    if ((fire & EF_WRITE) && full(f)) fire &= ~std::uint64_t{EF_WRITE};
    if (!fire) return;
    to = w & ~fire;
    if (!use.at_once()) to |= fire << ready_shift | listed;
  } while (!f.readiness.compare_exchange_weak(w, to, std::memory_order_seq_cst));
  if (use.at_once()) {
    ef_event e = event_of(f, static_cast<unsigned>(fire));
    p.events.fetch_add(1, std::memory_order_relaxed);
    return use.call(&e);
  }
  if (w & listed) return;
  pin(f);
  put_on_queue(p, use, &f.ready_node.node);
}

} // namespace

void post(file &f, unsigned bits, std::uint64_t sync) noexcept {
  port &p = *f.home;
  f.changed.notify_all();
  if (p.abandoned.load(std::memory_order_acquire)) return;         // pairs with port_abandon
  if (f.closing.load(std::memory_order_seq_cst)) bits &= EF_CLOSE; // pairs with ef_close: nothing else is news any more
  if (!firing(f.readiness.load(std::memory_order_seq_cst), bits)) return;
  port_reference(p); // the node may be taken, and the file freed, before the wake
  tell(f, p, callback_use(p), bits, sync);
  port_release(p);
}

void post_request(port &p, file_node &n) noexcept {
  callback_use use(p);
  if (!use.at_once()) return put_on_queue(p, use, &n.node);
  ef_event e;
  if (take_event(p, &n.node, &e)) use.call(&e);
}

// Counted, also if the bits are armed: a swap that was begun for an older question looks again (see full).
void arm(file &f, unsigned bits) noexcept {
  std::uint64_t w = f.readiness.load(std::memory_order_relaxed);
  while (!f.readiness.compare_exchange_weak(w, (w | bits) + asking, std::memory_order_seq_cst)) {}
}

void disarm(file &f, unsigned bits) noexcept {
  const std::uint64_t gone = bits | std::uint64_t{bits} << ready_shift;
  std::uint64_t w = f.readiness.load(std::memory_order_relaxed);
  while (!f.readiness.compare_exchange_weak(w, (w & ~gone) + asking, std::memory_order_seq_cst)) {}
}

void port_quiesce(port &p) noexcept {
  if (calling_for) return; // it would wait for itself, or for one who waits for it
  for (;;) {
    std::uint32_t key = p.quiet.prepare_wait();
    if (p.calling.load(std::memory_order_seq_cst) == 0) { // pairs with call()
      p.quiet.cancel_wait();
      return;
    }
    p.quiet.wait(key, -1);
  }
}

namespace {

// A host that is called back does not poll, so nobody brings on what the engine does for its drainer: what is under way
// ends before. False: it is another thread's.
bool leave_engine(port &p) noexcept {
  if (!p.engine_used->exclude) return true;
  p.engine_used->exclude(p.at, true);
  port_end_turns(p);
  if (p.at.load.load(std::memory_order_acquire) == 0) return true; // pairs with the engine's end of them
  p.engine_used->exclude(p.at, false);
  return false;
}

} // namespace

int port_set_callback(port &p, port_callback c) noexcept {
  if (p.changing.exchange(true, std::memory_order_acquire)) return -EBUSY; // pairs with the store below
  const bool called_back = c.wake || c.notify;
  if (called_back && !leave_engine(p)) {
    p.changing.store(false, std::memory_order_release);
    return -EBUSY;
  }
  port_callback *old = current(p);
  port_callback *to = old == &p.callbacks[0] ? &p.callbacks[1] : &p.callbacks[0];
  *to = c; // nobody reads it: its last use was waited for
  p.callback.store(c.wake || c.notify ? to : nullptr, std::memory_order_seq_cst); // pairs with current()
  p.form.store(form_of(c), std::memory_order_release);                            // pairs with direct()
  if (!called_back && p.engine_used->exclude) p.engine_used->exclude(p.at, false);
  port_quiesce(p); // from here on every post sees the new one
  if (c.notify)
    deliver_queued(p);
  else if (news_waits(p))
    callback_use(p).call(nullptr);
  p.changing.store(false, std::memory_order_release);
  return 0;
}

void port_abandon(port &p) noexcept {
  p.abandoned.store(true, std::memory_order_seq_cst); // pairs with post()
  p.callback.store(nullptr, std::memory_order_seq_cst);
  port_quiesce(p);
  if (p.engine_used->exclude) p.engine_used->exclude(p.at, true);
  port_end_turns(p);
  hold_queue(p, owner); // for ever: nobody sweeps it any more
  drop(p, p.pending.exchange(nullptr, std::memory_order_relaxed));
  drop(p, ef_list_take_all(&p.ready));
}

void port_busy(port &p) noexcept {
  p.busy.fetch_add(1, std::memory_order_relaxed);
  here()->busy.fetch_add(1, std::memory_order_relaxed);
}

void port_not_busy(port &p) noexcept {
  if (p.busy.fetch_sub(1, std::memory_order_seq_cst) == 1) { // pairs with drain
    if (p.stale.load(std::memory_order_relaxed) > 0) sweep(p);
    p.drained.notify_all();
  }
  process &h = *here();
  if (h.busy.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  h.drained.notify_all();
  if (h.chunks.worth_trimming() && !h.trim_planned.exchange(true, std::memory_order_relaxed)) h.time.poke();
}

} // namespace ef

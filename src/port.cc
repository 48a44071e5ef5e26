// SPDX-License-Identifier: BSD-2-Clause
// Posting, taking and waking. Each file is on its port's list at most once: the `listed` bit of its readiness word says
// so.
#include "port.hh"

#include "process.hh"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <new>

namespace ef {
namespace {

using namespace ready_word;

enum drainer : int { nobody, owner, sweeper }; // sweeper: for a moment, and calls nobody meanwhile

thread_local port *calling_for = nullptr; // inside a callback of this port

port_callback *current(const port &p) noexcept {
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

void signal_fd(port &p) noexcept {
  int fd = p.event_fd.load(std::memory_order_seq_cst); // pairs with port_event_fd
  if (fd < 0 || p.signalled.exchange(true, std::memory_order_seq_cst)) return;
  std::uint64_t one = 1;
  p.wakes.fetch_add(1, std::memory_order_relaxed);
  // A full or closed eventfd is the host's doing; the queue keeps the events.
  if (::write(fd, &one, sizeof one) < 0) p.signalled.store(false, std::memory_order_seq_cst);
}

// Before the list is looked at: who pushed before the flag falls is seen there, who pushes after it signals anew. The
// descriptor is read first, or it would be the signal of such a one that is read. True: it was readable.
bool clear_fd(port &p) noexcept {
  std::uint64_t count;
  bool readable = ::read(p.event_fd.load(std::memory_order_relaxed), &count, sizeof count) > 0;
  p.signalled.exchange(false, std::memory_order_seq_cst);
  return readable;
}

bool direct(const port &p) noexcept {
  return p.form.load(std::memory_order_acquire) == form_of_news::direct; // pairs with port_set_callback
}

form_of_news form_of(const port_callback &c) noexcept {
  return c.notify ? form_of_news::direct : c.wake ? form_of_news::waking : form_of_news::queued;
}

ef_event event_of(const file &f, unsigned bits) noexcept {
  return {f.handle, bits, error_of(f, bits), f.data.load(std::memory_order_acquire)}; // pairs with ef_watch
}

// False: taken back meanwhile.
bool take_event(port &p, ef_list_node *n, ef_event *out) noexcept {
  file &f = *reinterpret_cast<file_node *>(n)->owner;
  std::uint64_t w = f.readiness.fetch_and(not_taken, std::memory_order_seq_cst); // from here on it may be pushed again
  auto ready = static_cast<unsigned>(ready_of(w));
  if (f.closing.load(std::memory_order_seq_cst)) ready &= EF_CLOSE; // pairs with ef_close
  if (ready) {
    *out = event_of(f, ready);
    p.events.fetch_add(1, std::memory_order_relaxed);
  }
  unpin(f);
  return ready;
}

void drop(port &p, ef_list_node *n) noexcept {
  ef_event e;
  for (ef_list_node *next; n; n = next) {
    next = n->next;
    take_event(p, n, &e);
  }
}

} // namespace

port *port_make(const ef_port_options &options, int *error) noexcept {
  if ((*error = process_start()) != 0) return nullptr;
  port *p = new (std::nothrow) port{};
  if (!p) {
    *error = -ENOMEM;
    return nullptr;
  }
  p->event_fd.store(-1, std::memory_order_relaxed);
  p->references.store(1, std::memory_order_relaxed);
  p->epoch = fork_epoch.load(std::memory_order_relaxed);
  p->engine_used = select_engine(options.engine, here()->engines, &p->engine_reason);
  if (!p->engine_used) {
    delete p;
    *error = -EINVAL;
    return nullptr;
  }
  if (options.wake || options.notify) {
    p->callbacks[0] = {options.wake, options.notify, options.arg};
    p->callback.store(&p->callbacks[0], std::memory_order_relaxed);
    p->form.store(form_of(p->callbacks[0]), std::memory_order_relaxed);
  }
  return p;
}

void port_reference(port &p) noexcept { p.references.fetch_add(1, std::memory_order_relaxed); }

void port_release(port &p) noexcept {
  if (p.references.fetch_sub(1, std::memory_order_acq_rel) != 1) return; // orders every use before the delete
  int fd = p.event_fd.load(std::memory_order_relaxed);
  if (fd >= 0) ::close(fd);
  delete &p;
}

void unpin(file &f) noexcept {
  if (f.pins.fetch_sub(1, std::memory_order_acq_rel) != 1) return; // orders every use before the reuse
  port &p = *f.home;
  int handle = f.handle;
  files.release(static_cast<std::uint32_t>(handle) & 0xfffff);
  port_release(p);
}

namespace {

std::uint64_t firing(std::uint64_t w, unsigned bits) noexcept {
  return (armed_of(w) & bits) | (bits & (EF_ERROR | EF_SYNC));
}

void tell(file &f, port &p, const callback_use &use, unsigned bits, std::uint64_t sync) noexcept {
  std::uint64_t w = f.readiness.load(std::memory_order_seq_cst), to, fire;
  do {
    // After the load: a disarming that comes in between changes the word.
    if (sync && f.tells_muted.load(std::memory_order_seq_cst) >= sync) bits &= ~static_cast<unsigned>(EF_SYNC);
    fire = firing(w, bits);
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
  if (ef_list_push(&p.ready, &f.ready_node.node)) {
    signal_fd(p);
    use.call(nullptr);
  }
  if (p.abandoned.load(std::memory_order_seq_cst)) drop(p, ef_list_take_all(&p.ready)); // it missed the last look
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

void arm(file &f, unsigned bits) noexcept { f.readiness.fetch_or(bits, std::memory_order_seq_cst); }

void disarm(file &f, unsigned bits) noexcept {
  const std::uint64_t gone = bits | std::uint64_t{bits} << ready_shift;
  std::uint64_t w = f.readiness.load(std::memory_order_relaxed);
  while (!f.readiness.compare_exchange_weak(w, (w & ~gone) + disarming, std::memory_order_seq_cst)) {}
}

namespace {

// Of a closed file only EF_CLOSE is news.
bool is_stale(const file &f, std::uint64_t w) noexcept {
  return state_of(f) == file_state::closed && !(ready_of(w) & EF_CLOSE);
}

// Takes a stale file off the list; false: it is not, or not any more.
bool drop_stale(file &f) noexcept {
  std::uint64_t w = f.readiness.load(std::memory_order_seq_cst); // pairs with post
  do {
    if (!is_stale(f, w)) return false;
  } while (!f.readiness.compare_exchange_weak(w, w & not_taken, std::memory_order_seq_cst));
  unpin(f);
  return true;
}

// By whoever finds nobody at it; otherwise the drainer comes across them anyway.
void sweep(port &p) noexcept {
  int free = nobody;
  if (!p.draining.compare_exchange_strong(free, sweeper, std::memory_order_acquire))
    return; // pairs with the stores below
  p.stale.store(0, std::memory_order_relaxed);
  ef_list_node *parts[] = {p.pending.load(std::memory_order_relaxed), ef_list_take_all(&p.ready)};
  ef_list_node *kept, **last = &kept;
  for (ef_list_node *n : parts)
    for (ef_list_node *next; n; n = next) {
      next = n->next;
      if (drop_stale(*reinterpret_cast<file_node *>(n)->owner)) continue;
      *last = n;
      last = &n->next;
    }
  *last = nullptr;
  p.pending.store(kept, std::memory_order_relaxed);
  p.draining.store(nobody, std::memory_order_release);
}

// 0, or -EBUSY: another owner is in there. A sweeper is waited for.
int begin_draining(port &p, drainer as) noexcept {
  for (;;) {
    int who = nobody;
    if (p.draining.compare_exchange_weak(who, as, std::memory_order_acquire))
      return 0; // pairs with the stores of nobody
    if (who == owner) return -EBUSY;
    if (who == sweeper) ::sched_yield();
  }
}

} // namespace

void note_stale(file &f) noexcept {
  port &p = *f.home;
  const std::uint64_t w = f.readiness.load(std::memory_order_seq_cst); // pairs with post
  if (!(w & listed) || !is_stale(f, w)) return;
  if (p.stale.fetch_add(1, std::memory_order_relaxed) + 1 >= limits::stale_nodes) sweep(p);
}

namespace {

int take_events(port &p, ef_event *out, int max) noexcept {
  int count = 0;
  while (count < max) {
    ef_list_node *n = p.pending.load(std::memory_order_relaxed);
    if (!n) {
      if (p.signalled.load(std::memory_order_seq_cst)) clear_fd(p); // pairs with signal_fd
      n = ef_list_take_all(&p.ready);
      if (!n) break;
    }
    p.pending.store(n->next, std::memory_order_relaxed);
    count += take_event(p, n, out + count);
  }
  return count;
}

} // namespace

int port_next(port &p, ef_event *out, int max) noexcept {
  if (direct(p)) return -ENOTSUP;
  if (int busy = begin_draining(p, owner)) return busy;
  port_reference(p); // an abandoned port's last file may be freed in here
  int count = take_events(p, out, max);
  // Called for nothing, perhaps because of a signal that came after its event was taken: nobody else would clear it.
  while (count == 0 && p.event_fd.load(std::memory_order_relaxed) >= 0 && clear_fd(p)) count = take_events(p, out, max);
  if (p.pending.load(std::memory_order_relaxed)) signal_fd(p);
  p.draining.store(nobody, std::memory_order_release);
  port_release(p);
  return count;
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

// Alone with the queue until `draining` is set back. Whoever is in there does not stay.
void hold_queue(port &p, drainer as) noexcept {
  while (begin_draining(p, as) != 0) ::sched_yield();
}

// Nobody holds a part of the queue back at the time of the look.
bool news_waits(port &p) noexcept {
  hold_queue(p, sweeper);
  const bool waits = p.pending.load(std::memory_order_relaxed) || !ef_list_empty(&p.ready);
  p.draining.store(nobody, std::memory_order_release);
  return waits;
}

// What was queued before there was a notify.
void deliver_queued(port &p) noexcept {
  hold_queue(p, sweeper);
  ef_list_node *parts[] = {p.pending.exchange(nullptr, std::memory_order_relaxed), ef_list_take_all(&p.ready)};
  p.draining.store(nobody, std::memory_order_release);
  for (ef_list_node *n : parts)
    for (ef_list_node *next; n; n = next) {
      next = n->next;
      ef_event e;
      if (take_event(p, n, &e)) callback_use(p).call(&e);
    }
}

} // namespace

int port_event_fd(port &p) noexcept {
  int fd = p.event_fd.load(std::memory_order_acquire); // pairs with the swap below
  if (fd >= 0) return fd;
  fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return -errno;
  int none = -1;
  if (!p.event_fd.compare_exchange_strong(none, fd, std::memory_order_seq_cst)) { // pairs with signal_fd
    ::close(fd);
    return none;
  }
  if (news_waits(p)) signal_fd(p);
  return fd;
}

int port_set_callback(port &p, port_callback c) noexcept {
  if (p.changing.exchange(true, std::memory_order_acquire)) return -EBUSY; // pairs with the store below
  port_callback *old = current(p);
  port_callback *to = old == &p.callbacks[0] ? &p.callbacks[1] : &p.callbacks[0];
  *to = c; // nobody reads it: its last use was waited for
  p.callback.store(c.wake || c.notify ? to : nullptr, std::memory_order_seq_cst); // pairs with current()
  p.form.store(form_of(c), std::memory_order_release);                            // pairs with direct()
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

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

enum drainer : int { nobody, owner, sweeper };

thread_local port *calling_for = nullptr; // inside a callback of this port

port_callback *current(const port &p) noexcept {
  return p.callback.load(
      std::memory_order_seq_cst); // pairs with the swap in port_set_callback, after `calling` was raised
}

// The wake, or the events of a port with notify. Raising `calling` before the look at the callback is what makes a swap
// quiescent.
void call(port &p, const ef_event *event) noexcept {
  p.calling.fetch_add(1, std::memory_order_seq_cst);
  port_callback *c = current(p);
  if (c) {
    int saved = errno;
    port *outer = calling_for;
    calling_for = &p;
    p.wakes.fetch_add(1, std::memory_order_relaxed);
    if (event && c->notify) c->notify(c->arg, event, 1);
    if (!event && c->wake) c->wake(c->arg);
    calling_for = outer;
    errno = saved;
  }
  if (p.calling.fetch_sub(1, std::memory_order_seq_cst) == 1) p.quiet.notify_all();
}

void signal_fd(port &p) noexcept {
  int fd = p.event_fd.load(std::memory_order_seq_cst); // pairs with port_event_fd
  if (fd < 0 || p.signalled.exchange(true, std::memory_order_seq_cst)) return;
  std::uint64_t one = 1;
  p.wakes.fetch_add(1, std::memory_order_relaxed);
  // A full or closed eventfd is the host's doing; the queue keeps the events.
  if (::write(fd, &one, sizeof one) < 0) p.signalled.store(false, std::memory_order_seq_cst);
}

void clear_fd(port &p) noexcept {
  int fd = p.event_fd.load(std::memory_order_relaxed);
  if (fd < 0 || !p.signalled.exchange(false, std::memory_order_seq_cst)) return;
  std::uint64_t count;
  if (::read(fd, &count, sizeof count) < 0) return; // nothing in it: as good
}

bool direct(const port &p) noexcept {
  return p.form.load(std::memory_order_acquire) == form_of_news::direct; // pairs with port_set_callback
}

form_of_news form_of(const port_callback &c) noexcept {
  return c.notify ? form_of_news::direct : c.wake ? form_of_news::waking : form_of_news::queued;
}

int error_of(const file &f, unsigned bits) noexcept {
  if (int e = f.open_error.load(std::memory_order_acquire)) return e; // pairs with the opener
  if (bits == EF_READ || bits == EF_OPEN) return 0;
  if (int e = f.error.load(std::memory_order_acquire)) return e; // pairs with stick_error
  if (bits & EF_SYNC)
    if (int e = f.sync_error.load(std::memory_order_acquire)) return e; // pairs with the lane
  if (bits & (EF_ERROR | EF_CLOSE))
    if (int e = f.trouble.load(std::memory_order_acquire)) return e; // pairs with the lane
  return bits & EF_CLOSE ? f.close_error.load(std::memory_order_acquire) : 0;
}

ef_event event_of(const file &f, unsigned bits) noexcept {
  return {f.handle, bits, error_of(f, bits), f.data.load(std::memory_order_acquire)}; // pairs with ef_watch
}

// False: the news was taken back meanwhile.
bool take_event(port &p, ef_list_node *n, ef_event *out) noexcept {
  file &f = *reinterpret_cast<file_node *>(n)->owner;
  std::uint32_t w = f.readiness.fetch_and(bits, std::memory_order_seq_cst); // from here on it may be pushed again
  std::uint32_t ready = ready_of(w);
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

void post(file &f, unsigned bits) noexcept {
  port &p = *f.home;
  f.changed.notify_all();
  if (p.abandoned.load(std::memory_order_acquire)) return; // pairs with port_abandon
  const bool at_once = direct(p);
  if (f.closing.load(std::memory_order_seq_cst)) bits &= EF_CLOSE; // pairs with ef_close: nothing else is news any more
  std::uint32_t w = f.readiness.load(std::memory_order_seq_cst), to, fire;
  do {
    fire = (armed_of(w) & bits) | (bits & (EF_ERROR | EF_SYNC));
    if (!fire) return;
    to = w & ~fire;
    if (!at_once) to |= fire << ready_shift | listed;
  } while (!f.readiness.compare_exchange_weak(w, to, std::memory_order_seq_cst));
  if (at_once) {
    ef_event e = event_of(f, fire);
    p.events.fetch_add(1, std::memory_order_relaxed);
    return call(p, &e);
  }
  if (w & listed) return;
  pin(f);
  port_reference(p); // the node may be taken, and the file freed, before the wake
  if (ef_list_push(&p.ready, &f.ready_node.node)) {
    signal_fd(p);
    call(p, nullptr);
  }
  if (p.abandoned.load(std::memory_order_seq_cst)) drop(p, ef_list_take_all(&p.ready)); // it missed the last look
  port_release(p);
}

std::uint32_t arm(file &f, unsigned bits) noexcept { return f.readiness.fetch_or(bits, std::memory_order_seq_cst); }

void unarm(file &f, unsigned bits, std::uint32_t before) noexcept {
  disarm(f, bits & ~(armed_of(before) | ready_of(before)));
}

void disarm(file &f, unsigned bits) noexcept {
  f.readiness.fetch_and(~(bits | bits << ready_shift), std::memory_order_seq_cst);
}

namespace {

bool is_stale(const file &f) noexcept {
  // Of a closed file only EF_CLOSE is news. Pairs with post.
  return state_of(f) == file_state::closed && !(ready_of(f.readiness.load(std::memory_order_seq_cst)) & EF_CLOSE);
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
      file &f = *reinterpret_cast<file_node *>(n)->owner;
      ef_event e;
      if (is_stale(f)) {
        take_event(p, n, &e);
        continue;
      }
      *last = n;
      last = &n->next;
    }
  *last = nullptr;
  p.pending.store(kept, std::memory_order_relaxed);
  p.draining.store(nobody, std::memory_order_release);
}

// 0, or -EBUSY: another owner is in there. A sweeper is waited for: it is there only where nobody drained for long.
int begin_draining(port &p) noexcept {
  for (;;) {
    int who = nobody;
    if (p.draining.compare_exchange_weak(who, owner, std::memory_order_acquire))
      return 0; // pairs with the stores of nobody
    if (who == owner) return -EBUSY;
    if (who == sweeper) ::sched_yield();
  }
}

} // namespace

void note_stale(file &f) noexcept {
  port &p = *f.home;
  if (!(f.readiness.load(std::memory_order_seq_cst) & listed) || !is_stale(f)) return;
  if (p.stale.fetch_add(1, std::memory_order_relaxed) + 1 >= limits::stale_nodes) sweep(p);
}

int port_next(port &p, ef_event *out, int max) noexcept {
  if (direct(p)) return -ENOTSUP;
  if (int busy = begin_draining(p)) return busy;
  int count = 0;
  port_reference(p); // an abandoned port's last file may be freed in here
  while (count < max) {
    ef_list_node *n = p.pending.load(std::memory_order_relaxed);
    if (!n) {
      clear_fd(p); // before the look: a push after it signals again
      n = ef_list_take_all(&p.ready);
      if (!n) break;
    }
    p.pending.store(n->next, std::memory_order_relaxed);
    count += take_event(p, n, out + count);
  }
  if (p.pending.load(std::memory_order_relaxed)) signal_fd(p);
  p.draining.store(nobody, std::memory_order_release);
  port_release(p);
  return count;
}

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
  if (!ef_list_empty(&p.ready) || p.pending.load(std::memory_order_relaxed)) signal_fd(p);
  return fd;
}

void port_quiesce(port &p) noexcept {
  if (calling_for == &p) return; // it would wait for itself
  for (;;) {
    std::uint32_t key = p.quiet.prepare_wait();
    if (p.calling.load(std::memory_order_seq_cst) == 0) { // pairs with call()
      p.quiet.cancel_wait();
      return;
    }
    p.quiet.wait(key, -1);
  }
}

int port_set_callback(port &p, port_callback c) noexcept {
  if (p.changing.exchange(true, std::memory_order_acquire)) return -EBUSY; // pairs with the store below
  port_callback *old = current(p);
  port_callback *to = old == &p.callbacks[0] ? &p.callbacks[1] : &p.callbacks[0];
  *to = c; // nobody reads it: its last use was waited for
  p.callback.store(c.wake || c.notify ? to : nullptr, std::memory_order_seq_cst); // pairs with current()
  p.form.store(form_of(c), std::memory_order_release);                            // pairs with direct()
  port_quiesce(p);
  p.changing.store(false, std::memory_order_release);
  if (c.wake && (!ef_list_empty(&p.ready) || p.pending.load(std::memory_order_relaxed))) call(p, nullptr);
  if (!c.notify) return 0;
  for (ef_list_node *n = ef_list_take_all(&p.ready), *next; n; n = next) {
    next = n->next;
    ef_event e;
    if (take_event(p, n, &e)) call(p, &e);
  }
  return 0;
}

void port_abandon(port &p) noexcept {
  p.abandoned.store(true, std::memory_order_seq_cst); // pairs with post()
  p.callback.store(nullptr, std::memory_order_seq_cst);
  port_quiesce(p);
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

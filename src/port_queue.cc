// SPDX-License-Identifier: BSD-2-Clause
// A port's queue: the bell, the one who drains it, what he takes, and what nobody will take any more.
#include "port_news.hh"
#include "process.hh"
#include "requester.hh"
#include "sys.hh"
#include "uncancelled.hh"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace ef {

using namespace ready_word;

void signal_fd(port &p) noexcept {
  int fd = p.at.event_fd.load(std::memory_order_seq_cst); // pairs with port_event_fd
  if (fd < 0 || p.signalled.exchange(true, std::memory_order_seq_cst)) return;
  std::uint64_t one = 1;
  uncancelled until_done;
  p.wakes.fetch_add(1, std::memory_order_relaxed);
  // A full or closed eventfd is the host's doing; the queue keeps the events.
  if (::write(fd, &one, sizeof one) < 0) p.signalled.store(false, std::memory_order_seq_cst);
}

namespace {

// Before the list is looked at: who pushed before the flag falls is seen there, who pushes after it signals anew. The
// descriptor is read first, or it would be the signal of such a one that is read. True: it was readable.
bool clear_fd(port &p) noexcept {
  std::uint64_t count;
  uncancelled until_done;
  bool readable = ::read(p.at.event_fd.load(std::memory_order_relaxed), &count, sizeof count) > 0;
  p.signalled.exchange(false, std::memory_order_seq_cst);
  return readable;
}

} // namespace

ef_event event_of(const file &f, unsigned bits) noexcept {
  return {f.handle, bits, error_of(f, bits), f.data.load(std::memory_order_acquire)}; // pairs with ef_watch
}

// False: taken back meanwhile.
bool take_event(port &p, ef_list_node *n, ef_event *out) noexcept {
  auto *node = reinterpret_cast<file_node *>(n);
  if (!node->owner) {
    const bool told = take_request(*node, out);
    if (told) p.events.fetch_add(1, std::memory_order_relaxed);
    return told;
  }
  file &f = *node->owner;
  std::uint64_t w = f.readiness.fetch_and(not_taken, std::memory_order_seq_cst); // from here on it may be pushed again
  auto ready = static_cast<unsigned>(ready_of(w));
  if (f.closing.load(std::memory_order_seq_cst)) ready &= EF_CLOSE; // pairs with ef_close
  if ((ready & EF_CLOSE) && f.untaken.load(std::memory_order_relaxed) > 0) {
    // Its requests were put on the queue before, but behind the place that the file had there already: they come first.
    f.readiness.fetch_or(std::uint64_t{EF_CLOSE} << ready_shift | listed, std::memory_order_seq_cst);
    ef_list_push(&p.ready, n);
    return false;
  }
  if (ready) {
    *out = event_of(f, ready);
    p.events.fetch_add(1, std::memory_order_relaxed);
  }
  unpin(f);
  return ready;
}

void drop(port &p, ef_list_node *n) noexcept {
  ef_event e;
  for (ef_list_node *next; n; n = next ? next : ef_list_take_all(&p.ready)) { // some are put back, behind others
    next = n->next;
    auto *node = reinterpret_cast<file_node *>(n);
    node->owner ? static_cast<void>(take_event(p, n, &e)) : drop_request(*node);
  }
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

// Keeps what is to be kept of the queue, in its order, and lets its drainers in again.
template<class Keep> void end_sweeping(port &p, Keep keep) noexcept {
  ef_list_node *parts[] = {p.pending.load(std::memory_order_relaxed), ef_list_take_all(&p.ready)};
  ef_list_node *kept, **last = &kept;
  for (ef_list_node *n : parts)
    for (ef_list_node *next; n; n = next) {
      next = n->next;
      if (!keep(*reinterpret_cast<file_node *>(n))) continue;
      *last = n;
      last = &n->next;
    }
  *last = nullptr;
  p.pending.store(kept, std::memory_order_relaxed);
  p.draining.store(nobody, std::memory_order_release);
}

} // namespace

// By whoever finds nobody at it; otherwise the drainer comes across them anyway.
void sweep(port &p) noexcept {
  int free = nobody;
  if (!p.draining.compare_exchange_strong(free, sweeper, std::memory_order_acquire))
    return; // pairs with the stores of nobody
  p.stale.store(0, std::memory_order_relaxed);
  end_sweeping(p, [](file_node &n) { return !n.owner || !drop_stale(*n.owner); });
}

bool take_back(port &p, const file_node &n) noexcept {
  bool found = false;
  if (begin_draining(p, sweeper) != 0) return false;
  end_sweeping(p, [&](file_node &each) {
    found |= &each == &n;
    return &each != &n;
  });
  return found;
}

void note_stale(file &f) noexcept {
  port &p = *f.home;
  const std::uint64_t w = f.readiness.load(std::memory_order_seq_cst); // pairs with post
  if (!(w & listed) || !is_stale(f, w)) return;
  if (p.stale.fetch_add(1, std::memory_order_relaxed) + 1 >= limits::stale_nodes) sweep(p);
}

namespace {

enum class from { told, all }; // told: taken off the list before; for these the descriptor is still readable

int take_events(port &p, from which, ef_event *out, int max) noexcept {
  int count = 0;
  while (count < max) {
    ef_list_node *n = p.pending.load(std::memory_order_relaxed);
    if (!n && (which == from::told || !(n = ef_list_take_all(&p.ready)))) break;
    p.pending.store(n->next, std::memory_order_relaxed);
    count += take_event(p, n, out + count);
  }
  return count;
}

bool engine_has_news(port &p) noexcept {
  return p.engine_used->news && p.at.load.load(std::memory_order_relaxed) > 0 && p.engine_used->news(p.at);
}

// The engine's part of a turn: what came together goes, what is over becomes events. True: there is more at once.
bool turn_engine(port &p) noexcept {
  const engine &e = *p.engine_used;
  if (!e.turn || p.at.load.load(std::memory_order_relaxed) == 0) return false;
  taking_for = &p;
  const bool more = e.turn(here()->engines, p.at, 0);
  taking_for = nullptr;
  return more;
}

bool own(port &p) noexcept {
  const engine &e = *p.engine_used;
  return !e.hand_over || e.hand_over(p.at, this_thread());
}

// The part of draining that calls for its end: whatever is left is told again.
int drain_as_owner(port &p, ef_event *out, int max) noexcept {
  if (!own(p)) return -EBUSY;
  int count = take_events(p, from::told, out, max);
  if (count == max) return count;
  // A signal is cleared before everything that it may be for is looked at, or that would be lost.
  if (p.signalled.load(std::memory_order_seq_cst) || engine_has_news(p)) clear_fd(p); // pairs with signal_fd
  bool more;
  do {
    more = turn_engine(p);
    count += take_events(p, from::all, out + count, max - count);
    // Called for nothing, perhaps because of a signal that came after its event was taken: nobody else would clear it.
  } while (count == 0 && !more && p.at.event_fd.load(std::memory_order_relaxed) >= 0 && clear_fd(p));
  if (more || p.pending.load(std::memory_order_relaxed) || !ef_list_empty(&p.ready)) signal_fd(p);
  return count;
}

} // namespace

int port_next(port &p, ef_event *out, int max) noexcept {
  if (direct(p)) return -ENOTSUP;
  if (int busy = begin_draining(p, owner)) return busy;
  port_reference(p); // an abandoned port's last file may be freed in here
  const int count = drain_as_owner(p, out, max);
  p.draining.store(nobody, std::memory_order_release);
  port_release(p);
  return count;
}

namespace {

int hand_in(port &p) noexcept {
  const int count = port_pending(p);
  // What ends in it rings the bell by itself.
  if (count > 0 && p.engine_used->turn(here()->engines, p.at, 0)) signal_fd(p);
  return count;
}

} // namespace

int port_submit(port &p) noexcept {
  if (int busy = begin_draining(p, owner)) return busy;
  const int count = own(p) ? hand_in(p) : -EBUSY;
  p.draining.store(nobody, std::memory_order_release);
  return count;
}

bool port_gather(port &p, bool on) noexcept {
  gathering_for = nullptr;
  if (!p.engine_used->pending || p.at.owner.load(std::memory_order_relaxed) != this_thread()) return false;
  if (on)
    gathering_for = &p.at;
  else
    hand_in(p);
  return true;
}

int port_pending(port &p) noexcept {
  const engine &e = *p.engine_used;
  return e.pending && p.at.load.load(std::memory_order_relaxed) > 0 ? e.pending(p.at) : 0;
}

void port_end_turns(port &p) noexcept {
  const engine &e = *p.engine_used;
  while (e.turn && p.at.owner.load(std::memory_order_relaxed) == this_thread() &&
         p.at.load.load(std::memory_order_acquire) > 0) // pairs with the engine's end of them
    e.turn(here()->engines, p.at, limits::ring_wait_ns);
}

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
    for (ef_list_node *next; n; n = next ? next : ef_list_take_all(&p.ready)) { // some are put back, behind others
      next = n->next;
      ef_event e;
      if (take_event(p, n, &e)) callback_use(p).call(&e);
    }
}

int port_event_fd(port &p) noexcept {
  int fd = p.at.event_fd.load(std::memory_order_acquire); // pairs with the swap below
  if (fd >= 0) return fd;
  const int made = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (made < 0) return -errno;
  fd = away_from_stdio(made);
  if (fd < 0) {
    sys->close(made);
    return fd;
  }
  int none = -1;
  if (!p.at.event_fd.compare_exchange_strong(none, fd, std::memory_order_seq_cst)) { // pairs with signal_fd
    sys->close(fd);
    return none;
  }
  if (news_waits(p)) signal_fd(p);
  return fd;
}

} // namespace ef

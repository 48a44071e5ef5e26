// SPDX-License-Identifier: BSD-2-Clause
// Who may use a port's ring, when it is made, and what becomes of it when its thread or its process ends.
#include "engine_uring.hh"

#include "engine_threads.hh"
#include "ring.hh"
#include "sys.hh"
#include "uncancelled.hh"

#include <efio.h>

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace ef {

#if EF_HAVE_URING

namespace {

// All rings of the process: for the end of their threads, and for a fork child. The lock is for making and taking down
// only; a port cannot be freed while its ring is in the list.
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
ring *all_rings = nullptr;
pthread_key_t at_thread_end;
thread_local bool ending = false; // this thread: its rings are gone, and no more are made

// Found by the first port, for the whole process: 0 or a negated errno.
constexpr int not_probed = 1;
std::atomic<int> verdict{not_probed};
std::atomic<const char *> verdict_reason{nullptr};

// Alone with a port's ring. Blocking between the owner and who takes its place, who is seldom there.
class holder {
 public:
  explicit holder(engine_port &at) noexcept : at_(at) {
    while (at_.held.exchange(true, std::memory_order_acquire)) ::sched_yield(); // pairs with the store below
  }
  ~holder() { at_.held.store(false, std::memory_order_release); }
  holder(const holder &) = delete;
  holder &operator=(const holder &) = delete;

 private:
  engine_port &at_;
};

class locked {
 public:
  locked() noexcept { pthread_mutex_lock(&lock); }
  ~locked() { pthread_mutex_unlock(&lock); }
  locked(const locked &) = delete;
  locked &operator=(const locked &) = delete;
};

bool is_owner(const engine_port &at) noexcept { return at.owner.load(std::memory_order_relaxed) == this_thread(); }
ring *ring_of(const engine_port &at) noexcept { return at.mine.load(std::memory_order_relaxed); }

// ---- Making and taking down

void unlink_and_delete(ring *r) noexcept {
  ring **at = &all_rings;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  ring_delete(r);
}

// Nothing is in it. With the lock. One that its thread alone can delete is left to that: without a home from now on.
void take_down(ring *r) noexcept {
  r->home->mine.store(nullptr, std::memory_order_relaxed);
  r->home = nullptr;
  if (!r->registered || r->thread == this_thread()) unlink_and_delete(r);
}

// Those that others left to this thread. With the lock.
void delete_left() noexcept {
  for (ring *r = all_rings, *next; r; r = next) {
    next = r->next;
    if (!r->home && r->thread == this_thread()) unlink_and_delete(r);
  }
}

ring *make(engine_port &at) noexcept {
  int error;
  const char *reason;
  locked l; // a fork has it in the list, or not at all
  delete_left();
  ring *r = ring_make(at.event_fd.load(std::memory_order_relaxed), &error, &reason);
  if (!r) {
    at.refusal.store(reason, std::memory_order_relaxed); // a static text: nothing else goes with it
    return nullptr;
  }
  r->home = &at;
  r->thread = this_thread();
  pthread_setspecific(at_thread_end, &ending); // any value but null
  r->next = all_rings;
  all_rings = r;
  at.mine.store(r, std::memory_order_relaxed);
  return r;
}

// As the kernel does when something ended: then the owner takes a turn.
void call_owner(const engine_port &at) noexcept {
  const std::uint64_t one = 1;
  uncancelled until_done;
  (void)!::write(at.event_fd.load(std::memory_order_relaxed), &one, sizeof one); // full: it is readable already
}

// Not in a turn, after which the owner looks for himself: there may be none to come.
void enter(engine_port &at, ring &r, request_list &done, request_list &declined) noexcept {
  ring_enter(r, done, declined);
  if (ring_stands_still(r)) call_owner(at);
}

// ---- What the submitters get back

// Not with the port held: done() may submit again, and the last one may free the port.
void finish(engine_context &context, engine_port &at, request_list &done, request_list &declined) noexcept {
  int count = 0;
  for (io_request *r = done.first(); r; r = r->next) ++count;
  for (io_request *r = declined.first(); r; r = r->next) ++count;
  at.load.fetch_sub(count, std::memory_order_release); // pairs with hand_over
  while (io_request *r = declined.take()) engine_threads.submit(context, at, r);
  while (io_request *r = done.take()) r->done(r);
}

// ---- The end of a thread, and of a process

// Of this thread; null: none is left. Idle ones are taken down on the way.
ring *next_of_mine() noexcept {
  locked l;
  delete_left();
  for (ring *r = all_rings, *next; r; r = next) {
    next = r->next;
    if (r->thread != this_thread()) continue;
    if (r->home->load.load(std::memory_order_acquire) > 0) return r; // its requests keep the port
    r->home->owner.store(0, std::memory_order_relaxed);
    take_down(r);
  }
  return nullptr;
}

// The kernel would end what a dying thread submitted, or worse: its requests are waited for, as the kernel does.
void end_thread(void *) {
  ending = true;
  while (ring *r = next_of_mine()) {
    engine_port &at = *r->home;
    engine_context &context = *r->context;
    request_list done, declined;
    {
      holder h(at);
      while (r->in_flight > 0 || !r->waiting.empty()) (void)ring_turn(*r, limits::ring_wait_ns, done, declined);
      at.owner.store(0, std::memory_order_relaxed);
      locked l;
      take_down(r);
    }
    finish(context, at, done, declined);
  }
}

// ---- The probe

bool probe_reads(ring &r, int file) noexcept {
  char text[8] = {};
  io_request q{};
  q.osfd = file;
  q.first = {text, sizeof text};
  r.waiting.append(&q);
  request_list done, declined;
  for (int i = 0; i < limits::probe_tries && done.empty() && declined.empty(); ++i)
    (void)ring_turn(r, limits::ring_wait_ns, done, declined);
  return done.first() == &q && q.result == 1 && text[0] == 'e';
}

int probe(const char **reason) noexcept {
  uncancelled until_done;
  int error = -EIO;
  *reason = "the probe of io_uring failed: no descriptor, or no memory file";
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), file = ::memfd_create("efio-probe", MFD_CLOEXEC);
  if (event >= 0 && file >= 0 && ::write(file, "e", 1) == 1) {
    ring *r = ring_make(event, &error, reason);
    if (r) {
      if (!probe_reads(*r, file)) error = -EIO;
      *reason =
          error ? "the probe of io_uring failed: a read through a ring did not bring its byte" : "io_uring works here";
      ring_delete(r);
    }
  }
  if (event >= 0) ::close(event);
  if (file >= 0) ::close(file);
  return error;
}

// ---- The contract

int start(engine_context &context, const char **reason) {
  if (int error = context.readers->ensure_started()) return error; // for what a ring cannot take
  int known = verdict.load(std::memory_order_acquire);             // pairs with the store below
  if (known == not_probed) {
    locked l;
    if ((known = verdict.load(std::memory_order_relaxed)) == not_probed) {
      const char *why = "no key for what belongs to threads is left";
      known = pthread_key_create(&at_thread_end, end_thread) == 0 ? probe(&why) : -ENOMEM;
      verdict_reason.store(why, std::memory_order_relaxed);
      verdict.store(known, std::memory_order_release);
    }
  }
  *reason = verdict_reason.load(std::memory_order_relaxed);
  return known;
}

// Its thread will come for it, or nobody.
bool takes(const engine_port &at, const io_request &r) noexcept {
  return !r.write && !at.called_back.load(std::memory_order_relaxed) &&
         at.event_fd.load(std::memory_order_acquire) >= 0 && !at.refusal.load(std::memory_order_relaxed) &&
         is_owner(at) && !ending; // event_fd pairs with port_event_fd
}

bool submit(engine_context &context, engine_port &at, io_request *q) {
  if (!takes(at, *q)) return false;
  request_list done, declined;
  {
    holder h(at);
    if (!takes(at, *q)) return false; // it may have changed before the port was held
    ring *r = ring_of(at);
    if (!r && !(r = make(at))) return false;
    if (r->broken) return false;
    r->context = &context;
    at.load.fetch_add(1, std::memory_order_relaxed);
    r->waiting.append(q);
    ++r->waiting_count;
    // The kernel begins while the others of this turn come together. What it has not taken (a cancel, when it was full)
    // is nothing under way.
    if (r->in_flight == r->unsubmitted && gathering_for != &at) enter(at, *r, done, declined);
  }
  finish(context, at, done, declined);
  return true;
}

// tell: whoever takes the turn has no eye for what it leaves to be done.
bool take_turn(engine_context &context, engine_port &at, std::int64_t wait_ns, bool tell) noexcept {
  request_list done, declined;
  bool more = false;
  {
    holder h(at);
    ring *r = is_owner(at) ? ring_of(at) : nullptr;
    if (!r) return false;
    more = ring_turn(*r, wait_ns, done, declined);
    if (more && tell) call_owner(at);
  }
  finish(context, at, done, declined);
  return more;
}

bool turn(engine_context &context, engine_port &at, std::int64_t wait_ns) {
  return take_turn(context, at, wait_ns, false);
}

// Those of this thread with something under way, which keeps their ports.
int busy_rings(ring **out, int most) noexcept {
  locked l;
  int n = 0;
  for (ring *r = all_rings; r && n < most; r = r->next)
    if (r->thread == this_thread() && r->home && r->home->load.load(std::memory_order_relaxed) > 0) out[n++] = r;
  return n;
}

int pending(engine_port &at) {
  if (!is_owner(at)) return 0;
  holder h(at);
  ring *r = is_owner(at) ? ring_of(at) : nullptr;
  return r ? r->waiting_count + r->unsubmitted : 0;
}

bool news(engine_port &at) {
  if (!is_owner(at)) return false;
  holder h(at);
  ring *r = is_owner(at) ? ring_of(at) : nullptr;
  return r && ring_has_ended(*r);
}

bool withdraw(engine_context &context, engine_port &at, io_request *q) {
  if (!is_owner(at)) return false;
  request_list done, declined;
  {
    holder h(at);
    ring *r = is_owner(at) ? ring_of(at) : nullptr;
    if (!r) return false;
    if (r->waiting.remove(q)) {
      --r->waiting_count;
      at.load.fetch_sub(1, std::memory_order_release); // pairs with hand_over
      return true;
    }
    ring_cancel(*r, q);
    enter(at, *r, done, declined);
  }
  finish(context, at, done, declined);
  return false;
}

void exclude(engine_port &at, bool on) {
  holder h(at);
  at.called_back.store(on, std::memory_order_relaxed);
}

bool hand_over(engine_port &at, std::uint64_t owner) {
  if (at.owner.load(std::memory_order_relaxed) == owner) return true;
  holder h(at);
  locked l;
  if (at.load.load(std::memory_order_acquire) > 0) return false; // pairs with finish
  if (ring *r = ring_of(at)) take_down(r);
  at.owner.store(owner, std::memory_order_relaxed);
  return true;
}

} // namespace

const engine engine_uring = {"uring", EF_ENGINE_URING, start,   submit,   turn, pending,
                             news,    withdraw,        exclude, hand_over};

bool uring_turn_own(std::int64_t wait_ns) noexcept {
  ring *busy[limits::rings_waited_for];
  const int count = busy_rings(busy, limits::rings_waited_for);
  for (int i = 0; i < count; ++i) (void)take_turn(*busy[i]->context, *busy[i]->home, wait_ns / count, true);
  return count > 0;
}

void uring_before_fork() noexcept { pthread_mutex_lock(&lock); }

void uring_after_fork(bool child) noexcept {
  if (child) {
    // The child's copies would keep the parent's rings alive. Their memory was not copied.
    for (ring *r = all_rings; r; r = r->next) sys->close(r->kernel.ring_fd);
    all_rings = nullptr;
  }
  pthread_mutex_unlock(&lock);
}

#else

namespace {

int start(engine_context &, const char **reason) {
  *reason = "this library was built without liburing";
  return -ENOSYS;
}
bool submit(engine_context &, engine_port &, io_request *) { return false; }

} // namespace

const engine engine_uring = {"uring", EF_ENGINE_URING, start,   submit,  nullptr,
                             nullptr, nullptr,         nullptr, nullptr, nullptr};

bool uring_turn_own(std::int64_t) noexcept { return false; }
void uring_before_fork() noexcept {}
void uring_after_fork(bool) noexcept {}

#endif

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// Set-up by trying, submission with merging of neighbours, completion. The rules, each with its reason, are those of
// io_uring_setup(2), io_uring_enter(2) and of the kernel's own sources.
#include "ring.hh"

#include "sys.hh"

#include <efio.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ef {

bool request_list::remove(io_request *r) noexcept {
  for (io_request **at = &first_, *before = nullptr; *at; before = *at, at = &(*at)->next) {
    if (*at != r) continue;
    *at = r->next;
    if (last_ == r) last_ = before;
    return true;
  }
  return false;
}

#if EF_HAVE_URING

// Newer than the headers of Debian 12.
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

namespace {

// ---- Set-up

// Best first: completions are made when the owner enters, not whenever it is interrupted; then, when it enters the
// kernel for whatever reason; then as of old. Without DEFER_TASKRUN a poll may end with EINTR, which every loop knows.
constexpr unsigned set_ups[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};

constexpr unsigned features_needed =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG | IORING_FEAT_NATIVE_WORKERS;

const char *reason_of(int error) noexcept {
  switch (-error) {
  case EPERM:
    return "io_uring is forbidden here (EPERM: kernel.io_uring_disabled, or a container's seccomp filter)";
  case EACCES:
    return "io_uring is forbidden here (EACCES: a security module)";
  case ENOSYS:
    return "this kernel has no io_uring (ENOSYS), or a sandbox hides it";
  case ENOMEM:
    return "no memory for a ring (ENOMEM: RLIMIT_MEMLOCK is too small)";
  case EMFILE:
  case ENFILE:
    return "no descriptor was left for a ring";
  case EOPNOTSUPP:
    return "the io_uring of this kernel is too old (before 5.12)";
  default:
    return "a ring could not be made, or its probe failed";
  }
}

int set_up(ring &r) noexcept {
  int error = -EINVAL;
  for (unsigned flags : set_ups) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = limits::ring_completions;
    error = sys->uring_setup(limits::ring_entries, &r.kernel, &params);
    if (error == -EINVAL) continue; // a flag that this kernel does not know
    if (error < 0) return error;
    if ((params.features & features_needed) == features_needed && params.cq_entries >= limits::ring_in_flight) return 0;
    io_uring_queue_exit(&r.kernel);
    return -EOPNOTSUPP;
  }
  return error;
}

// ---- Submission

bool vectored(const io_request &r) noexcept { return r.rest_count > 0; }
bool goes_on(const io_request &a, std::size_t bytes, const io_request &b) noexcept {
  return b.osfd == a.osfd && b.flags == a.flags && !vectored(b) && b.offset == a.offset + static_cast<off_t>(bytes) &&
         !b.unwanted.load(std::memory_order_relaxed);
}

// Takes the requests that follow `lead` in the file and came behind it: one read brings them all.
int join_neighbours(ring &r, io_request &lead) noexcept {
  lead.part = nullptr;
  if (vectored(lead)) return 1;
  std::size_t bytes = lead.first.iov_len;
  int count = 1;
  for (io_request *last = &lead; count < limits::ring_joined && bytes < limits::ring_joined_bytes; ++count) {
    io_request *n = r.waiting.first();
    if (!n || !goes_on(lead, bytes, *n)) break;
    r.waiting.take();
    --r.waiting_count;
    bytes += n->first.iov_len;
    n->part = nullptr;
    last = last->part = n;
  }
  return count;
}

int spans_of(const io_request &r) noexcept { return 1 + std::min(r.rest_count, limits::request_spans - 1); }

void put_spans(ring &r, const io_request &lead, int count, io_uring_sqe *e) noexcept {
  iovec *to = r.spans + r.spans_used;
  int n = 0;
  if (count > 1)
    for (const io_request *p = &lead; p; p = p->part) to[n++] = p->first;
  else {
    to[n++] = lead.first;
    for (int i = 0; n < spans_of(lead); ++i) to[n++] = lead.rest[i];
  }
  r.spans_used += n;
  io_uring_prep_readv2(e, lead.osfd, to, static_cast<unsigned>(n), static_cast<__u64>(lead.offset), lead.flags);
}

void note_entry(ring &r, io_request *of) noexcept {
  r.entries[(r.entries_first + static_cast<unsigned>(r.unsubmitted++)) % limits::ring_entries] = of;
  ++r.in_flight;
}

void put_entry(ring &r, io_request &lead) noexcept {
  io_uring_sqe *e = io_uring_get_sqe(&r.kernel);
  const int count = join_neighbours(r, lead);
  if (count > 1 || vectored(lead)) {
    put_spans(r, lead, count, e);
  } else {
    // More than the kernel moves in one call comes back as a short count.
    const auto bytes = static_cast<unsigned>(std::min<std::size_t>(lead.first.iov_len, limits::request_bytes_max));
    io_uring_prep_read(e, lead.osfd, lead.first.iov_base, bytes, static_cast<__u64>(lead.offset));
    e->rw_flags = lead.flags;
  }
  io_uring_sqe_set_data(e, &lead);
  note_entry(r, &lead);
}

bool has_place(const ring &r) noexcept {
  return r.in_flight < limits::ring_in_flight && r.unsubmitted < static_cast<int>(limits::ring_entries) &&
         io_uring_sq_space_left(&r.kernel) > 0 && r.spans_used + limits::request_spans <= limits::ring_spans;
}

void fill(ring &r, request_list &done, request_list &declined) noexcept {
  while (!r.waiting.empty() && (r.broken || has_place(r))) {
    io_request *q = r.waiting.take();
    --r.waiting_count;
    if (q->unwanted.load(std::memory_order_relaxed)) {
      q->result = -ECANCELED;
      done.append(q);
    } else if (r.broken) {
      declined.append(q);
    } else {
      put_entry(r, *q);
    }
  }
}

// What the kernel will not take any more. Whoever it has already will still be heard of, if that is possible at all.
void give_up(ring &r, request_list &declined) noexcept {
  r.broken = true;
  for (; r.unsubmitted > 0; --r.unsubmitted) {
    io_request *q = r.entries[r.entries_first++ % limits::ring_entries];
    --r.in_flight;
    for (io_request *next; q; q = next) {
      next = q->part;
      declined.append(q);
    }
  }
}

void submit(ring &r, std::int64_t wait_ns, request_list &declined) noexcept {
  const int error = sys->uring_enter(&r.kernel, !r.broken, wait_ns);
  if (r.broken) return; // its entries were given up already
  const int left = static_cast<int>(io_uring_sq_ready(&r.kernel));
  r.entries_first += static_cast<unsigned>(r.unsubmitted - left);
  r.unsubmitted = left;
  if (left == 0) r.spans_used = 0;
  // Full for the moment: completions are to be taken first, then it is tried again. Anything else stays.
  if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY && error != -ETIME) give_up(r, declined);
}

// ---- Completion

// What another try on a thread may mend: the kernel was interrupted, short of something, or cannot do it in a ring.
bool try_elsewhere(ssize_t result) noexcept {
  switch (-result) {
  case EAGAIN:
  case EINTR:
  case ECANCELED: // nobody asked for it, or it is not true: see below
  case EOPNOTSUPP:
  case EINVAL:
  case EFAULT: // also when the submitting thread is ending
  case ENOMEM:
    return true;
  default:
    return false;
  }
}

// One call's result for the requests that it was made of, from the first on.
void share_out(io_request *lead, ssize_t result, request_list &done, request_list &declined) noexcept {
  const bool several = lead->part;
  const bool failed = result < 0;
  for (io_request *q = lead, *next; q; q = next) {
    next = q->part;
    const auto wanted = static_cast<ssize_t>(q->first.iov_len);
    q->result = several && !failed ? std::min(result, wanted) : result;
    if (!failed) result -= q->result;
    // Of several, one whose bytes did not come is asked for by itself: it may be the end of the file, or an error.
    const bool again = several ? failed || (q->result == 0 && q != lead) : failed && try_elsewhere(q->result);
    const bool cancelled = q->unwanted.load(std::memory_order_relaxed) && q->result == -ECANCELED;
    (again && !cancelled ? declined : done).append(q);
  }
}

void reap(ring &r, request_list &done, request_list &declined) noexcept {
  io_uring_cqe *e;
  unsigned head, seen = 0;
  io_uring_for_each_cqe(&r.kernel, head, e) {
    ++seen;
    --r.in_flight;
    auto *q = static_cast<io_request *>(io_uring_cqe_get_data(e));
    if (q) share_out(q, sys->uring_result(e->res), done, declined); // null: the answer to a cancel
  }
  io_uring_cq_advance(&r.kernel, seen);
}

bool has_deferred(const ring &r) noexcept {
  return __atomic_load_n(r.kernel.sq.kflags, __ATOMIC_SEQ_CST) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

// An exchange, as io_uring_cq_eventfd_toggle is none: the look that follows must not come before it.
void tell_event_fd(ring &r, bool on) noexcept {
  __atomic_exchange_n(r.kernel.cq.kflags, on ? 0u : IORING_CQ_EVENTFD_DISABLED, __ATOMIC_SEQ_CST);
}

} // namespace

ring *ring_make(int event_fd, int *error, const char **reason) noexcept {
  ring *r = new (std::nothrow) ring{};
  *error = r ? set_up(*r) : -ENOMEM;
  if (*error == 0) {
    const int fd = away_from_stdio(r->kernel.ring_fd);
    if (fd > 0) r->kernel.ring_fd = r->kernel.enter_ring_fd = fd;
  }
  if (*error == 0 && (*error = io_uring_register_eventfd(&r->kernel, event_fd)) < 0) io_uring_queue_exit(&r->kernel);
  if (*error < 0) {
    *reason = r ? reason_of(*error) : "no memory";
    delete r;
    return nullptr;
  }
  io_uring_ring_dontfork(&r->kernel); // a child has nothing to do with it
  // A host that closes numbers that are not its own does not part this thread from what it has under way: nobody else
  // can end that, and its end waits for it. Up to 16 rings of a thread; others go by their number.
  r->registered = io_uring_register_ring_fd(&r->kernel) == 1;
  return r;
}

void ring_delete(ring *r) noexcept {
  // No ring has the number any more: whoever has it now keeps it.
  if (r->registered && io_uring_unregister_ring_fd(&r->kernel) < 0) r->kernel.ring_fd = -1;
  io_uring_queue_exit(&r->kernel);
  delete r;
}

bool ring_has_ended(const ring &r) noexcept { return io_uring_cq_ready(&r.kernel) > 0 || has_deferred(r); }

bool ring_needs_enter(const ring &r) noexcept { return r.unsubmitted > 0 || has_deferred(r); }

bool ring_stands_still(const ring &r) noexcept {
  return r.in_flight == r.unsubmitted && (r.unsubmitted > 0 || !r.waiting.empty());
}

void ring_enter(ring &r, request_list &done, request_list &declined) noexcept {
  fill(r, done, declined);
  if (ring_needs_enter(r)) submit(r, 0, declined);
  reap(r, done, declined);
}

bool ring_turn(ring &r, std::int64_t wait_ns, request_list &done, request_list &declined) noexcept {
  bool more = false;
  fill(r, done, declined);
  if (wait_ns > 0 || ring_needs_enter(r)) {
    // What ends now is taken below, or told by the answer: nobody has to be woken.
    tell_event_fd(r, false);
    submit(r, wait_ns, declined);
    tell_event_fd(r, true);
    more = has_deferred(r); // what comes after this look is told
  }
  reap(r, done, declined);
  return more || ring_stands_still(r);
}

void ring_cancel(ring &r, io_request *which) noexcept {
  io_uring_sqe *e = has_place(r) ? io_uring_get_sqe(&r.kernel) : nullptr;
  if (!e) return; // it ends by itself
  io_uring_prep_cancel(e, which, 0);
  io_uring_sqe_set_data(e, nullptr);
  note_entry(r, nullptr);
}

#endif

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// The life of a request until it is over: inline try, parked, with an engine (more than once after short counts).
#include "requester.hh"

#include "cache.hh"
#include "engine_threads.hh"
#include "flusher.hh"
#include "port.hh"
#include "process.hh"
#include "reader.hh"
#include "request_state.hh"
#include "sys.hh"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace ef {
namespace {

void launch(request_state &s) noexcept;

// Whatever is written through a descriptor with O_APPEND goes to the end, and RWF_NOAPPEND (Linux 6.9) does not reach
// the file below overlayfs or behind FUSE, which take it and append (6.18): a second descriptor does everywhere.
void open_second(job *j) {
  request_state &s = state_of_io(reinterpret_cast<io_request *>(j));
  file &f = *s.f;
  const unsigned before = f.reopened.load(std::memory_order_seq_cst);
  int fd = open_same_file(f.osfd, O_WRONLY), none = -1;
  if (fd >= 0) {
    if (!f.second_fd.compare_exchange_strong(none, fd, std::memory_order_seq_cst)) // pairs with launch
      sys->close(fd);
    // Pairs with the lane, which counts and then looks for this descriptor.
    else if (f.reopened.load(std::memory_order_seq_cst) != before)
      fd = renew_second(f);
  }
  if (fd < 0) return end_request(s, fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : -EOPNOTSUPP);
  launch(s);
}

void launch(request_state &s) noexcept {
  io_request &r = s.io;
  r.offset = s.user->offset + static_cast<off_t>(s.did);
  r.work.owner = s.f->gates.load(std::memory_order_relaxed);
  if (r.write) {
    r.osfd = s.f->append ? s.f->second_fd.load(std::memory_order_acquire) : s.f->osfd; // pairs with open_second
    if (r.osfd < 0) {
      r.work.run = open_second;
      return here()->flushers.submit(&r.work);
    }
  } else {
    r.osfd = s.plain || s.skip ? s.f->osfd : descriptor_for(*s.f, s.next, s.buffers, r.offset);
    r.flags = s.plain || r.osfd != s.f->osfd ? 0 : s.f->inline_flags.load(std::memory_order_relaxed);
  }
  r.first = {static_cast<char *>(s.next->iov_base) + s.skip, s.next->iov_len - s.skip};
  r.rest = s.next + 1;
  r.rest_count = s.buffers - 1;
  process &h = *here();
  // What is copied within the ring is copied on the loop's thread: large ones keep it too long.
  if (!r.write && s.left <= limits::ring_request_max && s.f->ringable.load(std::memory_order_relaxed))
    submit_io(*s.f->home->engine_used, h.engines, s.f->home->at, &r);
  else
    engine_threads.submit(h.engines, s.f->home->at, &r);
}

void advance(request_state &s, std::size_t n) noexcept {
  s.did += n;
  s.left -= n;
  n += s.skip;
  while (s.buffers > 0 && n >= s.next->iov_len) {
    n -= s.next->iov_len;
    ++s.next;
    --s.buffers;
  }
  s.skip = n;
}

void tried(io_request *r) {
  request_state &s = state_of_io(r);
  const ssize_t n = r->result;
  if (n > 0) advance(s, static_cast<std::size_t>(n));
  if (r->write && n > 0) s.f->written_at.fetch_add(1, std::memory_order_release); // pairs with own_writes_settled
  const bool refused = n == -EINVAL || n == -EOPNOTSUPP;
  if (refused && !r->write && !s.plain && (r->flags || r->osfd != s.f->osfd)) {
    s.plain = true;
    return launch(s);
  }
  if (n > 0 && s.left > 0) return launch(s);
  if (n < 0 && s.did == 0) return end_request(s, n);
  if (n == -ECANCELED && !r->write) return end_request(s, n);           // a short count would be the end of the file
  if (n == 0 && r->write && s.did == 0) return end_request(s, -ENOSPC); // no progress and no reason
  end_request(s, static_cast<ssize_t>(s.did));
}

// ---- Parked

bool may_go(const file &f, std::uint64_t written_before, bool write) noexcept {
  const file_state state = state_of(f);
  if (state == file_state::opening) return false;
  // What is given up instead of being written comes with an error. The stream itself knows, but tells its lane only.
  return write || state == file_state::failed || f.error.load(std::memory_order_seq_cst) ||
         f.written.load(std::memory_order_seq_cst) >= written_before; // pairs with the lane
}

void go(request_state &s) noexcept {
  file &f = *s.f;
  // First: what nobody wants any more does not wait for the open, which is perhaps under way.
  int e = s.io.unwanted.load(std::memory_order_relaxed)
              ? ECANCELED
              : f.open_error.load(std::memory_order_acquire); // pairs with the opener
  if (!e && !f.seekable) e = ESPIPE;
  e ? end_request(s, -e) : launch(s);
}

void park(request_state &s) noexcept {
  file &f = *s.f;
  f.parked_count.fetch_add(1, std::memory_order_seq_cst); // before the look; pairs with tell_parked
  ef_list_push(&f.parked, &s.io.work.node);
  flush_now(f);
  tell_parked(f);
}

// True: one that was put back may go by now.
bool go_round(file &f) noexcept {
  bool again = false;
  const std::uint32_t cancels = f.cancels.load(std::memory_order_seq_cst); // pairs with cancel_request
  for (ef_list_node *n = ef_list_take_all(&f.parked), *next; n; n = next) {
    next = n->next;
    request_state &s = state_of_io(reinterpret_cast<io_request *>(n));
    const bool write = s.io.write;
    const std::uint64_t before = s.written_before;
    if (may_go(f, before, write) || s.io.unwanted.load(std::memory_order_relaxed)) {
      f.parked_count.fetch_sub(1, std::memory_order_relaxed);
      go(s);
      continue;
    }
    ef_list_push(&f.parked, n);                             // no look at it from here on
    f.parked_count.fetch_add(0, std::memory_order_seq_cst); // pairs with tell_parked, which found the list empty
    again |= may_go(f, before, write);
  }
  again |= f.cancels.load(std::memory_order_seq_cst) != cancels; // of one that was in hand here, perhaps
  return again;
}

// ---- Beginning

// 0, or what is wrong with the call. state: the caller's one look at it; what is not checked here because of it waits
// for the opener.
int check(const file &f, file_state state, std::size_t bytes, off_t offset, const ef_request *q) noexcept {
  off_t end;
  if (offset < 0 || __builtin_add_overflow(offset, static_cast<off_t>(bytes), &end)) return -EINVAL;
  if (q && in_progress(*q)) return -EBUSY;
  if (state == file_state::failed) return -f.open_error.load(std::memory_order_acquire); // pairs with the opener
  if (state != file_state::opening && !f.seekable) return -ESPIPE;
  return 0;
}

// The request is the library's from here on.
request_state &take_over(file &f, ef_request &q, const iovec *iov, int count, std::size_t bytes, off_t offset,
                         bool write) noexcept {
  q.op = write ? EF_PWRITE : EF_PREAD;
  q.fd = f.handle;
  q.offset = offset;
  if (count == 1) {
    q.buffer = *iov;
    iov = &q.buffer;
  } else {
    q.iov = iov;
  }
  q.iovcnt = count == 1 ? 0 : count;
  q.result = -1;
  q.error = EINPROGRESS;
  auto &s = *new (q.reserved) request_state{};
  s.f = &f;
  s.user = &q;
  s.next = iov;
  s.buffers = count;
  s.left = bytes;
  while (s.next->iov_len == 0) ++s.next, --s.buffers; // bytes > 0: there is one
  s.io.done = tried;
  s.io.write = write;
  s.state.store(progress::going, std::memory_order_relaxed);
  files.add_reference(slot_of(f));
  port_busy(*f.home);                                              // until it is over: then ef_drain may return
  if (write) f.writing_at.fetch_add(1, std::memory_order_seq_cst); // before it has a descriptor; pairs with change_to
  return s;
}

bool at_end(const file &f, off_t offset) noexcept {
  struct stat st;
  return sys->stat_now(f.osfd, &st) != 0 || offset >= st.st_size;
}

// Is it worth asking? Where one miss followed the other, the next is likely, and the try would cost more than the rest
// of what a ring does. A hit costs little in a ring, but a trip to a thread is to be avoided.
bool worth_a_try(file &f) noexcept {
  if (!f.home->engine_used->turn) return true;
  const std::uint32_t misses = f.misses_in_row.load(std::memory_order_relaxed);
  if (misses < limits::misses_to_trust) return true;
  f.misses_in_row.store(misses + 1, std::memory_order_relaxed); // a lost count does no harm
  return misses % limits::misses_a_probe == 0;
}

// A count, or -EAGAIN: not in memory, or not to be known.
ssize_t try_inline(file &f, const iovec *iov, int count, off_t offset, bool last_chance) noexcept {
  const inline_mode how = f.how.load(std::memory_order_relaxed);
  if (how == inline_mode::never || (!last_chance && !worth_a_try(f))) return -EAGAIN;
  const ssize_t r = read_now(f, how, f.inline_flags.load(std::memory_order_relaxed), iov, count, offset);
  if (r > 0) {
    if (f.misses_in_row.load(std::memory_order_relaxed)) f.misses_in_row.store(0, std::memory_order_relaxed);
    return r;
  }
  if (r == 0) return at_end(f, offset) ? 0 : -EAGAIN; // some kernels say 0 before the end
  note_inline_answer(f, r);
  if (r == -EAGAIN) f.misses_in_row.fetch_add(1, std::memory_order_relaxed);
  return -EAGAIN; // real errors come back from the background
}

void count_hit(file &f, ssize_t n) noexcept {
  f.hits_at.fetch_add(1, std::memory_order_relaxed);
  f.bytes_at.fetch_add(static_cast<std::uint64_t>(n), std::memory_order_relaxed);
}

ssize_t begin(request_state &s, ssize_t did) noexcept {
  if (did > 0) advance(s, static_cast<std::size_t>(did));
  launch(s);
  return -EINPROGRESS;
}

} // namespace

ssize_t pread_file(file &f, const iovec *iov, int count, std::size_t bytes, off_t offset, ef_request *q) noexcept {
  if (!f.can_read) return -EBADF;
  const file_state state = state_of(f);
  if (int bad = check(f, state, bytes, offset, q)) return bad;
  if (bytes == 0) return 0;
  const bool opening = state == file_state::opening;
  if (opening || (f.can_write && !f.out.empty() && !f.error.load(std::memory_order_acquire))) {
    if (!opening) flush_now(f);
    if (!q) return -EAGAIN;
    request_state &s = take_over(f, *q, iov, count, bytes, offset, false);
    s.written_before = f.can_write ? f.out.accepted() : 0;
    park(s);
    return -EINPROGRESS;
  }
  ssize_t r = q && bytes > limits::read_call_max ? -EAGAIN : try_inline(f, iov, count, offset, !q);
  const bool whole = r == static_cast<ssize_t>(bytes);
  if (r >= 0 && (whole || !q || r == 0 || at_end(f, offset + r))) {
    count_hit(f, r);
    return r;
  }
  if (!q) return r;
  f.misses_at.fetch_add(1, std::memory_order_relaxed);
  return begin(take_over(f, *q, iov, count, bytes, offset, false), r);
}

ssize_t pwrite_file(file &f, const iovec *iov, int count, std::size_t bytes, off_t offset, ef_request &q) noexcept {
  if (!f.can_write) return -EBADF;
  const file_state state = state_of(f);
  if (int bad = check(f, state, bytes, offset, &q)) return bad;
  if (int e = f.error.load(std::memory_order_acquire)) return -e; // pairs with stick_error
  if (bytes == 0) return 0;
  request_state &s = take_over(f, q, iov, count, bytes, offset, true);
  if (state != file_state::opening) return begin(s, 0);
  park(s);
  return -EINPROGRESS;
}

void tell_parked(file &f) noexcept {
  // An exchange of nothing: either the count of who comes later is seen, or he sees what was done before.
  if (f.parked_count.fetch_add(0, std::memory_order_seq_cst) == 0) return;
  while (go_round(f)) {}
}

void init_requests(file &f) noexcept {
  f.second_fd.store(-1, std::memory_order_relaxed);
  f.writing_at.store(0, std::memory_order_relaxed);
  f.parked = {};
  f.parked_count.store(0, std::memory_order_relaxed);
  f.misses_in_row.store(0, std::memory_order_relaxed);
  f.ringable.store(false, std::memory_order_relaxed);
  f.untaken.store(0, std::memory_order_relaxed);
  f.cancels.store(0, std::memory_order_relaxed);
  for (auto *c : {&f.hits_at, &f.misses_at, &f.bytes_at, &f.written_at}) c->store(0, std::memory_order_relaxed);
}

int renew_second(file &f) noexcept {
  const int second = f.second_fd.load(std::memory_order_seq_cst); // pairs with open_second
  if (second < 0) return 0;
  for (;;) {
    const unsigned now = f.reopened.load(std::memory_order_seq_cst);
    const int fd = open_same_file(f.osfd, O_WRONLY);
    if (fd < 0) return fd;
    const int r = sys->replace(second, fd);
    sys->close(fd);
    if (r < 0 || f.reopened.load(std::memory_order_seq_cst) == now) return r;
  }
}

void end_requests(file &f) noexcept {
  const int fd = f.second_fd.exchange(-1, std::memory_order_acquire); // pairs with open_second
  if (fd >= 0) sys->close(fd);
}

} // namespace ef

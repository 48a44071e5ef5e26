// SPDX-License-Identifier: BSD-2-Clause
// The flush lane: what it does in one turn, and when it comes again.
#include "flusher.hh"

#include "cache.hh"
#include "clock.hh"
#include "durable.hh"
#include "lanes.hh"
#include "port.hh"
#include "process.hh"
#include "reader.hh"
#include "reopener.hh"
#include "requester.hh"
#include "rotator.hh"
#include "space.hh"
#include "sys.hh"
#include "unit.hh"
#include "write_back.hh"

#include <efio.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace ef {
namespace {

enum class turn { over, again, ended };

// slack_ns: it may come so much later, at a time that is the same for all with that slack.
void add_timer(file &f, timer &t, std::atomic<bool> &in, std::int64_t delay_ns, std::int64_t slack_ns = 1) noexcept {
  if (in.exchange(true, std::memory_order_seq_cst)) return; // pairs with timer_fired; it is in already
  pin(f);
  t.deadline = (now_ns() + delay_ns + slack_ns - 1) / slack_ns * slack_ns;
  here()->time.add(&t);
}

// Many quiet files are written out together: then the processor wakes less often, and with the kernel's code in its
// caches a small write takes half the time.
void add_age_timer(file &f) noexcept {
  add_timer(f, f.age_timer, f.aging, f.flush_interval_ns,
            std::min(f.flush_interval_ns / 2, limits::flush_slack_ns)); // an interval is a millisecond at least
}

void ensure_durable(file &f) noexcept {
  if (f.durable_interval_ns) add_timer(f, f.durable_timer, f.ensuring, f.durable_interval_ns);
}

void timer_fired(file &f, std::atomic<bool> &in) noexcept {
  // An exchange: the look at `dirty` must not come before it. Pairs with mark_dirty, which raises that and then adds.
  in.exchange(false, std::memory_order_seq_cst);
  if (f.dirty.load(std::memory_order_seq_cst) || f.closing.load(std::memory_order_seq_cst))
    flush_now(f);
  else if (f.portion_later.load(std::memory_order_relaxed)) // was stored before the timer was added
    schedule_flush(f);
  unpin(f);
}

template<std::atomic<bool> file::*in> void lane_timer_fired(timer *t) {
  file &f = *static_cast<file *>(t->owner);
  timer_fired(f, f.*in);
}

// What was accepted since the last time becomes durable by itself, as long as there is something.
void durable_fired(timer *t) {
  file &f = *static_cast<file *>(t->owner);
  f.ensuring.exchange(false, std::memory_order_seq_cst); // as timer_fired
  if (!f.closing.load(std::memory_order_seq_cst) && !f.error.load(std::memory_order_relaxed)) {
    if (f.synced.load(std::memory_order_acquire) < accepted_by(f)) { // pairs with the lane
      std::uint64_t target;
      request_sync(f, false, &target);
      schedule_flush(f);
    }
    if (f.dirty.load(std::memory_order_seq_cst)) ensure_durable(f);
  }
  unpin(f);
}

// The timers of a file that is closed have nothing to wait for: they would keep its slot.
void end_timer(file &f, timer &t, const std::atomic<bool> &in) noexcept {
  if (!in.load(std::memory_order_acquire)) return; // pairs with timer_fired
  pin(f);
  here()->time.hurry(&t);
}
void timer_ended(timer *t) { unpin(*static_cast<file *>(t->owner)); }

void retry_in(file &f, std::int64_t ns) noexcept { add_timer(f, f.retry_timer, f.retrying, ns); }

// Errors that pass: the bytes are kept and tried again. EFBIG: a limit of the process, which the process may raise.
bool passes(int error) noexcept { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

void fail(file &f, int error) noexcept {
  bool first = stick_error(f, error);
  discard(f);
  if (first) post(f, EF_ERROR);
  forget_reopening(f);
  post(f, EF_WRITE);
}

// The error of a write. closing: the try was made after ef_close.
void write_failed(file &f, int error, bool closing) noexcept {
  if (error == EAGAIN && f.pollable) return retry_in(f, limits::retry_pipe_ns);
  if (!passes(error)) return fail(f, error);
  f.last_trouble.store(error, std::memory_order_release); // pairs with error_of
  if (f.trouble.exchange(error, std::memory_order_seq_cst) != error) post(f, EF_ERROR);
  if (!closing) return retry_in(f, f.flush_interval_ns);
  // Nobody is left to make room for: ef_close promises an end.
  fail(f, error);
}

// All that belongs to the old file is written. Who has asked once for durability will ask again, when nobody can give
// it to the old file any more. True: the lane goes on.
bool change_file(file &f, void (*change)(file &)) noexcept {
  const std::uint64_t written = f.written.load(std::memory_order_relaxed);
  const bool wanted = f.durable_interval_ns || f.syncs_wanted.load(std::memory_order_seq_cst) > 0;
  if (wanted && unsynced(f)) {
    if (int r = make_durable(f)) {
      fail(f, -r); // final, as in serve_syncs
      return false;
    }
    note_synced(f, written);
  }
  change(f);
  return true;
}

// One unit: bytes written, or a change of files made; 0 = nothing to write now, or a negated errno.
ssize_t flush_unit(file &f) noexcept {
  if (f.by_thread.load(std::memory_order_relaxed)) {
    const ssize_t r = write_lanes(f);
    if (r == at_the_rotation) return change_file(f, rotate);
    return r == at_the_cut ? change_file(f, open_anew) : r;
  }
  iovec iov[limits::flush_spans];
  std::size_t bytes;
  const int count = gather_unit(f, iov, least_bytes(f, f.out, 1), &bytes);
  const std::size_t left = bytes_to_cut(f); // after the gathering: see reopen_file
  if (left == 0) return change_file(f, open_anew);
  if (bytes == 0) return 0;
  const piece all{&f.out, bytes, 0};
  const std::size_t fit = bytes_before_rotation(f, &all, 1);
  if (fit == 0) return change_file(f, rotate);
  bytes = std::min({bytes, left, fit});
  const ssize_t r = write_unit(f, iov, count, bytes);
  if (r < 0) return r;
  f.out.consume(static_cast<std::size_t>(r));
  note_written(f, r);
  return r;
}

// Writes what is committed, up to a turn's worth.
turn write_out(file &f) noexcept {
  for (int i = 0; i < limits::flush_units_a_turn; ++i) {
    const bool closing = f.closing.load(std::memory_order_seq_cst); // pairs with ef_close: one try is made after it
    ssize_t r = flush_unit(f);
    if (r == 0) return turn::over;
    if (r < 0) {
      write_failed(f, static_cast<int>(-r), closing);
      return turn::over;
    }
  }
  return turn::again;
}

// Answers the requests that came before this turn; false: some of their bytes are not committed yet.
bool serve_syncs(file &f) noexcept {
  // Each before what request_sync stored before it: the bytes of all requests counted here are in sync_target.
  const std::uint64_t wanted = f.syncs_wanted.load(std::memory_order_seq_cst);
  const std::uint64_t tells = f.tells_wanted.load(std::memory_order_seq_cst);
  if (wanted == f.syncs_done.load(std::memory_order_relaxed)) return true;
  int error = f.error.load(std::memory_order_relaxed);
  if (!error) error = f.trouble.load(std::memory_order_relaxed);
  if (!error && !all_wanted_consumed(f)) return false;
  const unsigned round = ~f.serving.load(std::memory_order_relaxed) & 1; // the lane's own
  f.serving.store(wanted << 1 | round, std::memory_order_seq_cst);       // pairs with wait_for_sync
  std::uint64_t written = f.written.load(std::memory_order_relaxed);
  if (!error) {
    error = -make_durable(f);
    if (error)
      fail(f, error); // final: the kernel tells a lost page only once
    else
      note_synced(f, written);
  }
  if (!error) f.syncs_good.store(wanted, std::memory_order_relaxed); // visible with the next
  f.sync_error.store(error, std::memory_order_release);              // pairs with event_of, ef_wait
  f.syncs_done.store(wanted, std::memory_order_seq_cst);             // pairs with ef_wait
  wake_served(f, round);
  const bool tell = tells > f.tells_done;
  f.tells_done = tells;
  if (tell) post(f, EF_SYNC, tells);
  return true;
}

// Where nobody writes any more the lane does it, and writes it out at once: no target that was set before covers it.
void mark_now(file &f) noexcept {
  if (mark_drops(f) == marking::done) flush_now(f);
}

// Lowers `dirty` if nothing is left. Any writer after that raises it again; one that came in between is seen in the
// stream.
bool settle(file &f) noexcept {
  if (!detach_all(f)) return false;
  mark_now(f);                                    // there is more room than ever, and the file still counts as busy
  if (!f.dirty.load(std::memory_order_relaxed)) { // its writer has not come to it yet: what he wrote is written
    if (f.can_read) post(f, EF_READ);
    return true;
  }
  advance_age(f);
  lowering l(f.age);
  f.dirty.store(false, std::memory_order_seq_cst); // pairs with note_write
  bool clean = all_empty(f);
  if (clean || f.dirty.exchange(true, std::memory_order_seq_cst))
    port_not_busy(*f.home); // or that writer counted the file anew
  l.done(clean);
  if (clean && f.can_read) post(f, EF_READ);
  return clean;
}

turn flush_and_sync(file &f) noexcept {
  if (state_of(f) == file_state::opening) return turn::over; // the opener schedules
  advance_age(f);
  const std::uint64_t given = chunks_given(f);
  turn t = turn::over;
  if (int e = write_back_error(f)) fail(f, e);
  if (state_of(f) == file_state::failed || f.error.load(std::memory_order_relaxed)) {
    discard(f);
    forget_reopening(f);
  } else {
    t = write_out(f);
  }
  bring_to_disk(f);
  bool served = serve_syncs(f);
  if (t == turn::again && chunks_given(f) != given) tell_room(f);
  if (t == turn::again) return t;
  bool closing = f.closing.load(std::memory_order_seq_cst); // pairs with ef_close; before the last look at the stream
  bool clean = settle(f);
  if (chunks_given(f) != given) tell_room(f);                          // chunks without bytes, of ef_seek, too
  if (clean && closing && served && !reopening(f)) return turn::ended; // or ef_reopen runs the lane again
  if (clean && f.portion_later.load(std::memory_order_relaxed)) add_age_timer(f); // the lane's own
  if (clean) return turn::over;
  const bool pressing = !served || closing || reopening(f);
  if (!some_blocked(f)) {
    if (pressing) return f.retrying.load(std::memory_order_relaxed) ? turn::over : turn::again;
  } else if (pressing || backlog_of(f)) {
    retry_in(f, limits::retry_commit_ns);
  }
  add_age_timer(f);
  return turn::over;
}

turn run_turn(file &f) noexcept {
  const turn t = flush_and_sync(f);
  tell_parked(f);
  return t;
}

void release(job *j) {
  file &f = *static_cast<file *>(j->owner);
  end_cache_mode(f);
  end_requests(f);
  if (f.osfd >= 0) {
    return_space(f);
    if (int e = end_write_back(f)) f.close_error.store(e, std::memory_order_release); // pairs with error_of
    // Of an adopted descriptor, which others may share, the kernel's offset goes where ours went.
    if (!f.path && f.can_write && f.seekable && !f.append)
      ::lseek(f.osfd, f.write_offset.load(std::memory_order_relaxed), SEEK_SET);
    if (int r = sys->close(f.osfd); r < 0) f.close_error.store(-r, std::memory_order_release); // pairs with error_of
  }
  if (f.dirfd != AT_FDCWD) sys->close(f.dirfd);
  std::free(f.path);
  end_reading(f);
  move_state(f, file_state::closed);
  end_timer(f, f.age_timer, f.aging);
  end_timer(f, f.retry_timer, f.retrying);
  end_timer(f, f.durable_timer, f.ensuring);
  f.home->files.fetch_sub(1, std::memory_order_release); // before the news: then the port can be freed
  // Raised by a writer after the last turn, which has written his bytes already: nobody else lowers it.
  if (f.dirty.exchange(false, std::memory_order_relaxed)) port_not_busy(*f.home);
  post(f, EF_CLOSE);
  note_stale(f);
  port_not_busy(*f.home); // counted by ef_close; after `files`: a drained port can be freed
  unpin(f);
}

void turn_lane(job *j) {
  file &f = *static_cast<file *>(j->owner);
  do {
    f.lane.exchange(lane_state::running, std::memory_order_seq_cst); // pairs with schedule_flush: its stores are seen
    const turn t = run_turn(f);
    if (t == turn::ended) {
      f.lane.store(lane_state::ended, std::memory_order_release);
      if (files.put(slot_of(f))) release(&f.release_job); // the open reference
      return;
    }
    lane_state was = lane_state::running;
    if (t == turn::over && f.lane.compare_exchange_strong(was, lane_state::idle, std::memory_order_seq_cst)) return;
  } while (!here()->flushers.jobs_wait()); // nobody is kept waiting: no need to wake another thread for the next turn
  f.lane.store(lane_state::queued, std::memory_order_seq_cst);
  f.flush_job.lively = true; // there was too much for a turn, or somebody was at it meanwhile
  here()->flushers.submit(&f.flush_job);
}

// With a thread of those that the file's device may have. The gate outlives the file.
void with_a_thread(job *j, void (*run)(job *)) {
  device_gates *gates = static_cast<file *>(j->owner)->gates.load(std::memory_order_relaxed); // a hint: see learn
  if (gates && !gates->writes.enter(j)) return;
  run(j);
  if (gates) gates->writes.leave();
}
void run_lane(job *j) { with_a_thread(j, turn_lane); }
void run_release(job *j) { with_a_thread(j, release); }

} // namespace

void schedule_flush(file &f, bool at_leisure) noexcept {
  lane_state s = f.lane.load(std::memory_order_seq_cst); // pairs with run_lane
  for (;;) {
    if (s == lane_state::queued && !at_leisure) here()->flushers.hasten(); // it may have been submitted at leisure
    if (s != lane_state::idle && s != lane_state::running) return;
    lane_state to = s == lane_state::idle ? lane_state::queued : lane_state::rerun;
    if (!f.lane.compare_exchange_weak(s, to, std::memory_order_seq_cst)) continue;
    if (to != lane_state::queued) return;
    f.flush_job.lively = at_leisure; // a backlog: its writers go on
    return here()->flushers.submit(&f.flush_job, at_leisure);
  }
}

void raise(std::atomic<std::uint64_t> &target, std::uint64_t to) noexcept {
  std::uint64_t t = target.load(std::memory_order_relaxed);
  while (t < to && !target.compare_exchange_weak(t, to, std::memory_order_seq_cst)) {}
}

void flush_now(file &f) noexcept {
  each_stream(f, [](write_stream &s) { raise(s.flush_target, s.accepted()); });
  schedule_flush(f);
}

void mark_dirty(file &f) noexcept {
  const std::int64_t before = now_ns();
  if (f.dirty.exchange(true, std::memory_order_seq_cst)) return; // pairs with settle
  note_dirty(f.age, before);
  port_busy(*f.home);
  add_age_timer(f);
  ensure_durable(f);
}

void schedule_release(file &f) noexcept { here()->flushers.submit(&f.release_job); }

void tell_room(file &f) noexcept {
  if (!f.out.has_much_room()) return;
  mark_now(f);
  // The process's pool is empty: who was refused because of that is told by whoever gives a chunk back, unless this
  // file has none left: then small ones are to be had.
  if (!here()->chunks.may_take_large() && f.out.chunks() > 0) {
    if (!armed(f, EF_WRITE) && !f.changed.has_waiters()) return;
    await_chunk(f);
    if (!here()->chunks.may_take_large()) return; // pairs with chunk_returned: it gives, then looks
  }
  post(f, EF_WRITE); // it looks first whether anybody asked
}

void await_chunk(file &f) noexcept {
  if (!f.starved.exchange(true, std::memory_order_seq_cst)) // pairs with chunk_returned
    pin(f), ef_list_push(&here()->starved, &f.starved_node.node);
  chunk_returned(here()); // one that came back before has told nobody, and may be gone again
}

void chunk_returned(void *arg) noexcept {
  auto *p = static_cast<process *>(arg);
  if (ef_list_empty(&p->starved) || !p->chunks.may_take_large()) return;
  for (ef_list_node *n = ef_list_take_all(&p->starved), *next; n; n = next) {
    next = n->next;
    file &f = *reinterpret_cast<file_node *>(n)->owner;
    // An exchange: post's look at who is armed must not come before it. Pairs with await_chunk.
    f.starved.exchange(false, std::memory_order_seq_cst);
    file *open; // with a reference, so that EF_CLOSE comes after it
    if (files.get(f.handle, &open) == 0) {
      post(f, EF_WRITE);
      put_reference(f);
    }
    unpin(f);
  }
}

void init_flushing(file &f) noexcept {
  f.flush_job = {{}, run_lane, &f};
  f.release_job = {{}, run_release, &f};
  init_serving(f);
  f.age_timer = {{}, {}, nullptr, nullptr, 0, lane_timer_fired<&file::aging>, timer_ended, &f};
  f.retry_timer = {{}, {}, nullptr, nullptr, 0, lane_timer_fired<&file::retrying>, timer_ended, &f};
  f.durable_timer = {{}, {}, nullptr, nullptr, 0, durable_fired, timer_ended, &f};
  f.starved_node = {{}, &f};
  f.ready_node = {{}, &f};
}

} // namespace ef

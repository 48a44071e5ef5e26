// SPDX-License-Identifier: BSD-2-Clause
// Positions in the order of calls count the file's bytes; in the order of threads they name the lane, too.
#include "durable.hh"

#include "clock.hh"
#include "flusher.hh"
#include "lanes.hh"
#include "port.hh"
#include "process.hh"
#include "sys.hh"
#include "uncancelled.hh"
#include "write_back.hh"

#include <cerrno>
#include <ctime>

namespace ef {
namespace {

constexpr unsigned lane_shift = 56; // 0: no lane
constexpr std::uint64_t position_mask = (std::uint64_t{1} << lane_shift) - 1;

bool has_something_left(file &f) noexcept {
  const std::uint64_t done = f.written.load(std::memory_order_acquire) + f.lost.load(std::memory_order_relaxed);
  return done < accepted_by(f) && !f.error.load(std::memory_order_acquire); // both pair with the lane
}

void run_wake(job *j) {
  file &f = *static_cast<file *>(j->owner);
  const int which = static_cast<int>(j - f.wake_jobs);
  f.waking[which].exchange(false, std::memory_order_seq_cst); // before the waking; pairs with wake_served
  f.served[which].notify_all();
  unpin(f);
}

} // namespace

void init_serving(file &f) noexcept {
  for (job &j : f.wake_jobs) j = {{}, run_wake, &f};
}

void wake_served(file &f, unsigned round) noexcept {
  if (f.served[round].waiters() <= limits::wakes_at_once || !here()->flushers.has_idle())
    return f.served[round].notify_all();
  if (f.waking[round].exchange(true, std::memory_order_seq_cst)) return; // it has not begun: it wakes ours as well
  pin(f);
  here()->flushers.submit(&f.wake_jobs[round]);
}

bool unsynced(const file &f) noexcept {
  return f.synced.load(std::memory_order_relaxed) < f.written.load(std::memory_order_relaxed) ||
         f.written_at.load(std::memory_order_acquire) != f.written_at_synced; // pairs with the end of a request
}

int make_durable(file &f) noexcept {
  f.syncs.fetch_add(1, std::memory_order_relaxed);
  // Requests that write to a file before this one will do so behind the sync's back.
  const bool quiet = f.writing_at.load(std::memory_order_seq_cst) == 0;          // pairs with end_request
  const std::uint64_t written_at = f.written_at.load(std::memory_order_acquire); // pairs with the end of a request
  int r = sys->fdatasync(f.osfd);
  if (r == -EINVAL && !f.seekable) return 0; // pipes and devices have nothing to sync
  if (r == 0) r = -write_back_error_settled(f);
  if (r == 0 && f.left_unsynced) r = sys->sync_system(f.osfd);
  if (r < 0) return r;
  if (quiet) f.left_unsynced = false;
  f.written_at_synced = written_at;
  if (!f.make_durable_parent || f.parent_synced.load(std::memory_order_relaxed)) return 0;
  r = sys->sync_parent(f.dirfd, f.path);
  if (r == 0) f.parent_synced.store(true, std::memory_order_relaxed);
  return r;
}

std::uint64_t request_sync(file &f, bool tell, std::uint64_t *target) noexcept {
  *target = 0;
  each_stream(f, [&](write_stream &s) {
    const std::uint64_t accepted = s.accepted();
    raise(s.sync_target, accepted); // before the counts; pairs with serve_syncs, as they do
    *target += accepted;
  });
  if (tell) f.tells_wanted.fetch_add(1, std::memory_order_seq_cst);
  return f.syncs_wanted.fetch_add(1, std::memory_order_seq_cst) + 1;
}

void note_synced(file &f, std::uint64_t written) noexcept {
  if (f.by_thread.load(std::memory_order_relaxed))
    for (unsigned i = 0; i < limits::lanes_max; ++i) {
      write_lane &l = lane_of(f, i);
      l.synced.store(l.out.consumed(), std::memory_order_release); // pairs with synced_up_to
    }
  f.synced.store(written, std::memory_order_release); // pairs with ef_wait, counters, synced_up_to
}

std::uint64_t sequence_of_caller(file &f) noexcept {
  const std::uint64_t at = stream_of_caller(f).accepted();
  if (!f.by_thread.load(std::memory_order_relaxed)) return at;
  return at | (this_thread() % limits::lanes_max + 1) << lane_shift;
}

int synced_up_to(file &f, std::uint64_t sequence) noexcept {
  const std::uint64_t lane = sequence >> lane_shift, at = sequence & position_mask;
  const bool by_thread = f.by_thread.load(std::memory_order_relaxed);
  if (by_thread ? lane == 0 || lane > limits::lanes_max : lane != 0) return -EINVAL;
  const std::atomic<std::uint64_t> &synced = by_thread ? lane_of(f, static_cast<unsigned>(lane - 1)).synced : f.synced;
  return synced.load(std::memory_order_acquire) >= at; // pairs with note_synced
}

int flush_before_crash(std::int64_t deadline) noexcept {
  uncancelled until_done;
  each_open_file([](file &f) {
    if (f.can_write) flush_now(f);
  });
  for (;;) {
    int left = 0;
    each_open_file([&](file &f) { left += f.can_write && has_something_left(f); });
    if (left == 0 || left_ns(deadline) == 0) return left;
    const timespec nap{0, 1'000'000};
    ::nanosleep(&nap, nullptr);
  }
}

} // namespace ef

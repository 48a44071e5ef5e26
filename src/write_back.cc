// SPDX-License-Identifier: BSD-2-Clause
// sync_file_range(2) over the whole file and waiting for it, on a flusher thread of its own: the lane goes on writing.
// Measured (2 GiB at full speed, ext4 on a virtual disk, reads of 4 KiB beside it): without any of this 2,048 MiB
// dirty, a sync of 0.1 to 0.9 s afterwards, the reads' worst 65 to 86 ms; portions of 8 MiB begun and not waited for
// 130 MiB, 0.02 s and 48 to 54 ms; waited for 20 MiB, 0.006 s and 5 to 7 ms. RWF_DONTCACHE in units of 64 KiB takes a
// third longer. The kernel tells a lost page only once, and it may be here that it does: so the lane asks.
#include "write_back.hh"

#include "clock.hh"
#include "flusher.hh"
#include "limits.hh"
#include "process.hh"
#include "sys.hh"

#include <efio.h>

#include <fcntl.h>

#include <cerrno>

namespace ef {
namespace {

bool leaves_nothing(const file &f) noexcept {
  return !f.can_read && f.cache.load(std::memory_order_relaxed) == EF_CACHE_STREAMING;
}

// What is in the file by now. 0 or a negated errno.
int write_all_back(file &f) noexcept {
  struct stat st;
  if (int r = sys->stat_now(f.osfd, &st)) return r;
  const int r = sys->write_back(f.osfd, st.st_size);
  if (r == 0 && leaves_nothing(f)) sys->advise(f.osfd, 0, st.st_size, POSIX_FADV_DONTNEED);
  return r;
}

// Is it the disk that says so, or does the kernel not know the call for such a file?
bool lost(int error) noexcept { return error != ENOSYS && error != EINVAL && error != ESPIPE && error != EOPNOTSUPP; }

void run_write_back(job *j) {
  file &f = *static_cast<file *>(j->owner);
  auto was = portion_state::queued;
  // acquire: what the lane stored before it; release: pairs with its look.
  if (f.portion.compare_exchange_strong(was, portion_state::running, std::memory_order_acq_rel)) {
    const int error = -write_all_back(f);
    if (error && lost(error))
      f.portion_error.store(error, std::memory_order_release); // pairs with write_back_error
    else if (error)
      f.portions.store(false, std::memory_order_relaxed);            // a hint to the lane
    f.portion.store(portion_state::idle, std::memory_order_release); // pairs with write_back_error_settled
    f.portion_over.notify_all();
    if (error) schedule_flush(f);
  } else {
    f.portion.store(portion_state::idle, std::memory_order_release); // revoked; pairs with bring_to_disk
  }
  here()->write_backs.fetch_sub(1, std::memory_order_relaxed); // a count
  put_reference(f);
}

} // namespace

void init_write_back(file &f) noexcept {
  f.portion.store(portion_state::idle, std::memory_order_relaxed); // published with the slot, as all here
  f.portion_error.store(0, std::memory_order_relaxed);
  f.portions.store(false, std::memory_order_relaxed);
  f.portion_from = 0;
  f.portion_since = 0;
  f.portion_later.store(false, std::memory_order_relaxed);
  f.portion_job = {{}, run_write_back, &f};
}

void learn_write_back(file &f) noexcept {
  f.portions.store(f.can_write && f.seekable && !f.in_memory,
                   std::memory_order_relaxed); // published by the lane's start
}

namespace {

bool is_time(const file &f, std::uint64_t bytes) noexcept {
  const std::int64_t since = now_ns() - f.portion_since;
  return since >= limits::burst_ns ||
         bytes / limits::burst_bytes_per_ms * 1'000'000 <= static_cast<std::uint64_t>(since);
}

bool begin_portion(file &f) noexcept {
  if (f.portion.load(std::memory_order_acquire) != portion_state::idle) return false; // pairs with run_write_back
  // A disk that is stuck must not hold all flushers.
  if (here()->write_backs.fetch_add(1, std::memory_order_relaxed) >= limits::write_backs_most) {
    here()->write_backs.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  f.portion_from = f.written.load(std::memory_order_relaxed); // the lane's own
  f.portion_since = now_ns();
  f.portion.store(portion_state::queued, std::memory_order_release); // pairs with run_write_back
  files.add_reference(slot_of(f));
  here()->flushers.submit(&f.portion_job);
  return true;
}

} // namespace

void bring_to_disk(file &f) noexcept {
  const std::uint64_t bytes = f.written.load(std::memory_order_relaxed) - f.portion_from; // the lane's own
  bool later = bytes >= limits::write_back_bytes && f.portions.load(std::memory_order_relaxed) &&
               !f.error.load(std::memory_order_relaxed);
  if (later && is_time(f, bytes)) later = !begin_portion(f);
  f.portion_later.store(later, std::memory_order_relaxed); // the timer that asks is added after it
}

int write_back_error(file &f) noexcept {
  return f.portion_error.load(std::memory_order_relaxed) ? f.portion_error.exchange(0, std::memory_order_acq_rel) : 0;
}

int write_back_error_settled(file &f) noexcept {
  auto was = portion_state::queued;
  // One that has not begun would only keep us waiting for a thread.
  f.portion.compare_exchange_strong(was, portion_state::revoked, std::memory_order_acq_rel);
  // One that runs ends soon: it waits for pages that the fdatasync has waited for.
  for (;;) {
    const std::uint32_t key = f.portion_over.prepare_wait();
    if (f.portion.load(std::memory_order_acquire) != portion_state::running) break; // pairs with run_write_back
    f.portion_over.wait(key, -1);
  }
  f.portion_over.cancel_wait();
  return write_back_error(f);
}

// Nothing is under way any more: it had a reference.
int end_write_back(file &f) noexcept {
  int error = write_back_error(f);
  if (!f.portions.load(std::memory_order_relaxed) || !leaves_nothing(f)) return error;
  const int last = -write_all_back(f);
  return !error && lost(last) ? last : error;
}

} // namespace ef

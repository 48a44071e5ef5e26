// SPDX-License-Identifier: BSD-2-Clause
// Making the shared part on first use, and what a fork child forgets.
#include "process.hh"

#include "flusher.hh"
#include "thread.hh"
#include "writer.hh"

#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ef {

std::atomic<process *> the_process{nullptr};
constinit immortal<file_slots> file_table;

// All zero and, where the C library maps it anew, not touched. The address to be freed stands just before it, on the
// page of the allocator's own header: one page of a quiet slab is resident, not two.
void *file_memory::obtain(std::size_t bytes) noexcept {
  void *all = std::calloc(1, sizeof all + limits::page_bytes - 1 + bytes);
  if (!all) return nullptr;
  auto first = reinterpret_cast<std::uintptr_t>(all) + sizeof all;
  auto *memory = reinterpret_cast<char *>((first + limits::page_bytes - 1) / limits::page_bytes * limits::page_bytes);
  std::memcpy(memory - sizeof all, &all, sizeof all);
  return memory;
}

void file_memory::drop(void *memory, std::size_t) noexcept {
  void *all;
  std::memcpy(&all, static_cast<char *>(memory) - sizeof all, sizeof all);
  std::free(all);
}

std::atomic<unsigned> fork_epoch{0};

namespace {

std::atomic<bool> prepared{false}; // the fork handler is there

// The child has one thread and none of ours: what was under way here is the parent's. Memory of it is left alone.
void in_fork_child() {
  engines_after_fork(true);
  the_process.store(nullptr, std::memory_order_relaxed);
  fork_epoch.fetch_add(1, std::memory_order_relaxed);
  files.mark_inherited();
  threads_forget();
  last_write = nothing_written;
}

void in_fork_parent() { engines_after_fork(false); }

void pool_pressed(void *p) { static_cast<process *>(p)->time.poke(); }
void chunks_low(void *p) { static_cast<process *>(p)->time.poke(); }

// On the timekeeper's thread, each time it wakes.
std::int64_t look_at_chunks(void *p, std::int64_t now) {
  auto *h = static_cast<process *>(p);
  h->chunks.refill();
  if (!h->chunks.worth_trimming()) {
    h->trim_planned.store(false, std::memory_order_relaxed); // whoever makes it worth while pokes again
    return h->idle_since = -1;
  }
  if (h->busy.load(std::memory_order_relaxed) != 0 || h->idle_since < 0) h->idle_since = now;
  if (now - h->idle_since < limits::trim_after_ns) return h->idle_since + limits::trim_after_ns;
  h->chunks.trim();
  h->trim_planned.store(false, std::memory_order_relaxed);
  return h->idle_since = -1;
}

process *make(int *error) noexcept {
  process *h = new (std::nothrow) process{};
  *error = -ENOMEM;
  if (!h) return nullptr;
  *error = h->chunks.init(chunk_returned, chunks_low, h);
  if (!*error) *error = h->readers.init("efio-read", limits::readers_base, limits::readers_most, 0, pool_pressed, h);
  if (!*error)
    *error = h->flushers.init("efio-flush", limits::flushers_base, limits::flushers_most, limits::flusher_naps,
                              pool_pressed, h);
  if (*error) {
    delete h;
    return nullptr;
  }
  write_stream::enable_owners();
  h->time.init(&h->readers, &h->flushers, look_at_chunks, h);
  h->engines = {&h->readers, &h->flushers};
  h->devices.init(h->readers, h->flushers);
  return h;
}

int prepare() noexcept {
  static pthread_mutex_t lock =
      PTHREAD_MUTEX_INITIALIZER; // held for the first call of the process only, never over a fork of ours
  pthread_mutex_lock(&lock);
  int error = 0;
  if (!prepared.load(std::memory_order_relaxed)) {
    error = -pthread_atfork(engines_before_fork, in_fork_parent, in_fork_child);
    if (!error) prepared.store(true, std::memory_order_release); // pairs with the load in process_start
  }
  pthread_mutex_unlock(&lock);
  return error;
}

int start_threads(process &h) noexcept {
  // The timekeeper last: there must not be two, and the next call tries again what fails.
  int error = h.flushers.ensure_started();
  if (!error) error = h.time.start();
  h.started.store(error ? start_state::none : start_state::done, std::memory_order_release); // pairs with process_start
  return error;
}

} // namespace

int process_start() noexcept {
  if (!prepared.load(std::memory_order_acquire))
    if (int error = prepare()) return error;
  process *h = here();
  if (!h) {
    int error;
    process *made = make(&error);
    if (!made) return error;
    if (the_process.compare_exchange_strong(h, made, std::memory_order_acq_rel)) // pairs with here()
      h = made;
    else
      delete made;
  }
  for (start_state s; (s = h->started.load(std::memory_order_acquire)) != start_state::done;) { // pairs with the store
    if (s == start_state::none &&
        h->started.compare_exchange_strong(s, start_state::under_way, std::memory_order_acquire))
      return start_threads(*h);
    ::sched_yield(); // another thread is at it, and may fail
  }
  return 0;
}

} // namespace ef

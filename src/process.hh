// SPDX-License-Identifier: BSD-2-Clause
// What all files of the process share: handle table, chunks, threads, time. Made on first use; a fork child starts with
// a new one.
#ifndef EF_PROCESS_HH
#define EF_PROCESS_HH

#include "chunk.hh"
#include "device_gate.hh"
#include "engine.hh"
#include "file.hh"
#include "slot_table.hh"
#include "timekeeper.hh"
#include "worker_pool.hh"

#include <atomic>
#include <cstdint>

namespace ef {

enum class start_state : std::uint8_t { none, under_way, done };

struct process {
  chunk_pool chunks;
  worker_pool readers, flushers; // opens and reads; writes, syncs and closes
  device_table devices;          // how many of both work on one
  timekeeper time;
  engine_context engines;
  std::int64_t idle_since = -1;     // the timekeeper's
  std::atomic<bool> trim_planned;   // it looks again by itself while there is something to trim
  std::atomic<int> ahead_chunks;    // of fetches under way that nobody asked for yet
  std::atomic<int> write_backs{0};  // portions of dirty pages queued or under way
  std::atomic<int> busy;            // files with bytes to write, or closing, on all ports
  event_count<> drained;            // told when busy reaches 0
  std::atomic<start_state> started; // its first threads
  ef_list starved;                  // files whose writer was refused for want of a chunk: file_node
};

// Null before the first port or file, and in a fork child before its first. Set once (release), so an acquire load sees
// it whole.
extern std::atomic<process *> the_process;
inline process *here() noexcept { return the_process.load(std::memory_order_acquire); }

// Never destroyed: our threads outlive the destructors that run at exit.
template<class T> union immortal {
  T value;
  constexpr immortal() noexcept : value() {}
  ~immortal() {}
};

// Outlives fork: slots in use answer ECHILD in the child and are never given out again.
// Objects lie on the heap: leak checkers look there for what open files own.
struct file_memory : slot_table_limits {
  static void *obtain(std::size_t bytes) noexcept;
  static void drop(void *memory, std::size_t bytes) noexcept;
};
using file_slots = slot_table<file, std::atomic, file_memory>;
extern immortal<file_slots> file_table;
inline constexpr file_slots &files = file_table.value;

// Changes in a fork child: what was made under another number belongs to the parent.
extern std::atomic<unsigned> fork_epoch;

// Makes it if it is not there: 0 or a negated errno. Any thread; blocking among those who come first.
[[nodiscard]] int process_start() noexcept;

} // namespace ef
#endif

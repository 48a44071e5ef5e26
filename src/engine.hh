// SPDX-License-Identifier: BSD-2-Clause
// The contract of an engine: kernel I/O that may block, done somewhere else, with one completion. No policy, no files,
// no events.
#ifndef EF_ENGINE_HH
#define EF_ENGINE_HH

#include "limits.hh"
#include "worker_pool.hh"

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// One background read or write: one try of the kernel. Owned by the submitter until submit() answers true, by the
// engine until done() is called, then again by whoever done() says. result: a count, 0 = end of file, or a negated
// errno; a short count is passed on as it is.
struct io_request {
  job work;         // for engines that run it as a job; work.owner: the device_gates it has to go through
  io_request *next; // for engines that keep lists, and
  io_request *part; // for those that make one call of several requests
  void (*done)(io_request *);
  int osfd;
  int flags; // RWF_
  off_t offset;
  iovec first; // the buffers: this one and rest_count others
  const iovec *rest;
  int rest_count;
  bool write;
  std::atomic<bool> unwanted; // end it with ECANCELED if it was not begun
  ssize_t result;
};

struct engine_context {
  worker_pool *readers, *flushers;
};

struct ring;

// What an engine keeps for a port. It serves the thread that drains the port, its owner; all others are declined.
struct engine_port {
  std::atomic<std::uint64_t> owner;  // this_thread() of who drains; 0: nobody did yet
  std::atomic<int> event_fd;         // the host polls it; -1: nobody asked for it
  std::atomic<bool> called_back;     // the host does not poll, or nobody listens any more
  std::atomic<bool> held;            // somebody is in here: the owner, or who takes its place
  std::atomic<ring *> mine;          // made by the owner with its first miss
  std::atomic<int> load;             // requests taken and not yet ended
  std::atomic<const char *> refusal; // static; why there will be no ring here
};

// This thread will take a turn of that one when all have come together. The thread's: the port may have another owner
// by then.
extern thread_local const engine_port *gathering_for;

struct engine {
  const char *name;
  int id; // EF_ENGINE_ of efio.h
  // 0, or a negated errno and *reason (static text) why it does not work here.
  int (*start)(engine_context &, const char **reason);
  // False: not taken, the next engine of the table has to. Any thread, never blocks.
  bool (*submit)(engine_context &, engine_port &, io_request *);
  // ---- for engines with work that the owner has to do; null for others
  // Hands over what has come together and ends what is over, calling done(); wait_ns > 0: waits so long at most for the
  // first end. The answer: is there more to end at once? Owner.
  bool (*turn)(engine_context &, engine_port &, std::int64_t wait_ns);
  int (*pending)(engine_port &); // requests that have come together; owner
  bool (*news)(engine_port &);   // did something end that its event_fd was signalled for? owner
  // A request became unwanted. True: it was not begun and is the caller's again. Owner.
  bool (*withdraw)(engine_context &, engine_port &, io_request *);
  // From now on the host is called back, or polls again: requests are not taken, or are again. Any thread.
  void (*exclude)(engine_port &, bool);
  // Another thread is the owner from now on, or (owner 0) nobody is. False: requests of the old owner are under way.
  bool (*hand_over)(engine_port &, std::uint64_t owner);
};

// The table, best first; the last one takes everything.
extern const engine *const engines[];
extern const int engines_count;

// The engine for an EF_ENGINE_ number (EFIO_ENGINE in the environment comes before EF_ENGINE_AUTO) and why it was
// taken. One that does not work here is replaced by the last. Null and *error (negated errno): there is no such engine,
// or no thread for it.
const engine *select_engine(int wanted, engine_context &, const char **reason, int *error) noexcept;

// For the engine of a port, or, if it declines, for the one that never does.
void submit_io(const engine &, engine_context &, engine_port &, io_request *) noexcept;

// A number of the calling thread, never of another one; not 0.
std::uint64_t this_thread() noexcept;

// For a thread that waits for anything at all: brings on what it has under way as an owner, waiting so long at most.
// False: there is nothing, so it may sleep.
bool engines_turn_own(std::int64_t wait_ns) noexcept;

// Around fork(2): nothing half made is copied, and the child touches no ring.
void engines_before_fork() noexcept;
void engines_after_fork(bool child) noexcept;

} // namespace ef
#endif

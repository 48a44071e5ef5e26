// SPDX-License-Identifier: BSD-2-Clause
// The contract of an engine: kernel I/O that may block, done somewhere else, with one completion. No policy, no files,
// no ports.
#ifndef EF_ENGINE_HH
#define EF_ENGINE_HH

#include "limits.hh"
#include "worker_pool.hh"

#include <sys/types.h>
#include <sys/uio.h>

namespace ef {

// One background read. Owned by the submitter until submit() answers true, by the engine until done() is called, then
// again by whoever done() says. result: a count, 0 = end of file, or a negated errno; a short count is passed on as it
// is.
struct io_request {
  job work; // for engines that run it as a job
  int osfd;
  off_t offset;
  iovec iov[limits::read_window_max];
  int iov_count;
  ssize_t result;
  void (*done)(io_request *); // on an engine's thread
  void *owner;
};

struct engine_context {
  worker_pool *readers;
};

struct engine {
  const char *name;
  int id; // EF_ENGINE_ of efio.h
  // 0, or a negated errno and *reason (static text) why it does not work here.
  int (*start)(engine_context &, const char **reason);
  // False: not taken, the next engine of the table has to. Any thread, never blocks.
  bool (*submit)(engine_context &, io_request *);
};

// The table, best first; the last one takes everything.
extern const engine *const engines[];
extern const int engines_count;

// The engine for an EF_ENGINE_ number (EFIO_ENGINE in the environment comes before EF_ENGINE_AUTO) and why it was
// taken. Null: there is no such engine.
const engine *select_engine(int wanted, engine_context &, const char **reason) noexcept;

} // namespace ef
#endif

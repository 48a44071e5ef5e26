// SPDX-License-Identifier: BSD-2-Clause
// A request is a job of the reader pool; the job is one preadv.
#include "engine_threads.hh"

#include "sys.hh"

#include <efio.h>

#include <cstddef>

namespace ef {
namespace {

void run_read(job *j) {
  static_assert(offsetof(io_request, work) == 0);
  auto *r = reinterpret_cast<io_request *>(j);
  r->result = sys->preadv(r->osfd, r->iov, r->iov_count, r->offset);
  r->done(r);
}

int start(engine_context &context, const char **reason) {
  *reason = "threads work everywhere; no other engine is built in";
  return context.readers->ensure_started();
}

bool submit(engine_context &context, io_request *r) {
  r->work.run = run_read;
  context.readers->submit(&r->work);
  return true;
}

} // namespace

const engine engine_threads = {"threads", EF_ENGINE_THREADS, start, submit};

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// A request is a job of a worker pool; the job is one preadv2 or pwritev2.
#include "engine_threads.hh"

#include "device_gate.hh"
#include "sys.hh"

#include <efio.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace ef {
namespace {

void transfer(io_request *r) {
  iovec iov[limits::request_spans];
  iov[0] = r->first;
  const int more = std::min(r->rest_count, limits::request_spans - 1);
  std::copy(r->rest, r->rest + more, iov + 1);
  if (r->write)
    r->result = sys->pwritev_at(r->osfd, iov, more + 1, r->offset, r->flags);
  else if (r->flags)
    r->result = sys->preadv_with(r->osfd, iov, more + 1, r->offset, r->flags);
  else
    r->result = sys->preadv(r->osfd, iov, more + 1, r->offset);
}

// With a thread of those that its device may have. False: it is kept until there is one.
bool transfer_at_the_gate(io_request *r, device_share &gate) {
  const unsigned calls = gate.calls(); // before the look
  if (r->unwanted.load(std::memory_order_seq_cst)) {
    r->result = -ECANCELED;
  } else if (gate.enter(&r->work)) {
    transfer(r);
    gate.leave();
  } else {
    if (gate.calls() != calls) gate.submit_kept(); // somebody called one off: perhaps ours
    return false;
  }
  return true;
}

void run_request(job *j) {
  static_assert(offsetof(io_request, work) == 0);
  auto *r = reinterpret_cast<io_request *>(j);
  if (transfer_at_the_gate(r, static_cast<device_gates *>(j->owner)->of(r->write))) r->done(r);
}

int start(engine_context &context, const char **reason) {
  *reason = "threads work everywhere";
  return context.readers->ensure_started();
}

bool submit(engine_context &context, engine_port &, io_request *r) {
  r->work.run = run_request;
  (r->write ? context.flushers : context.readers)->submit(&r->work);
  return true;
}

} // namespace

const engine engine_threads = {"threads", EF_ENGINE_THREADS, start,   submit,  nullptr,
                               nullptr,   nullptr,           nullptr, nullptr, nullptr};

} // namespace ef

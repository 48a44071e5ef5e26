// SPDX-License-Identifier: BSD-2-Clause
// The table of engines and the choice among them.
#include "engine.hh"

#include "engine_threads.hh"
#include "engine_uring.hh"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ef {

const engine *const engines[] = {&engine_uring, &engine_threads};
const int engines_count = sizeof engines / sizeof *engines;
thread_local const engine_port *gathering_for = nullptr;

namespace {

const engine *named(const char *name, int id) noexcept {
  for (const engine *e : engines)
    if (name ? std::strcmp(e->name, name) == 0 : e->id == id) return e;
  return nullptr;
}

// Where it differs from the reason of the engine itself.
const char *reason_asked(bool by_environment, const engine &e) noexcept {
  if (by_environment)
    return &e == &engine_threads ? "asked for by EFIO_ENGINE" : "asked for by EFIO_ENGINE, works here";
  return &e == &engine_threads ? "asked for by the port's options" : "asked for by the port's options, works here";
}

} // namespace

const engine *select_engine(int wanted, engine_context &context, const char **reason, int *error) noexcept {
  const char *name = wanted == 0 ? std::getenv("EFIO_ENGINE") : nullptr;
  if (name && (std::strcmp(name, "auto") == 0 || *name == 0)) name = nullptr;
  const engine *asked = name || wanted != 0 ? named(name, wanted) : engines[0];
  *error = -EINVAL;
  if (!asked) return nullptr;
  if ((*error = asked->start(context, reason)) == 0) {
    if (name || wanted != 0) *reason = reason_asked(name != nullptr, *asked);
    return asked;
  }
  const char *ignored; // the reason is the one of the engine that does not work
  const engine *last = engines[engines_count - 1];
  return asked != last && (*error = last->start(context, &ignored)) == 0 ? last : nullptr;
}

void submit_io(const engine &e, engine_context &context, engine_port &at, io_request *r) noexcept {
  if (!e.submit(context, at, r)) engines[engines_count - 1]->submit(context, at, r);
}

std::uint64_t this_thread() noexcept {
  static std::atomic<std::uint64_t> last{0};
  thread_local std::uint64_t number = 0;
  if (number == 0) number = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return number;
}

bool engines_turn_own(std::int64_t wait_ns) noexcept { return uring_turn_own(wait_ns); }
void engines_before_fork() noexcept { uring_before_fork(); }
void engines_after_fork(bool child) noexcept { uring_after_fork(child); }

} // namespace ef

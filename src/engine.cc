// SPDX-License-Identifier: BSD-2-Clause
// The table of engines and the choice among them.
#include "engine.hh"

#include "engine_threads.hh"

#include <cstdlib>
#include <cstring>

namespace ef {

const engine *const engines[] = {&engine_threads};
const int engines_count = sizeof engines / sizeof *engines;

const engine *select_engine(int wanted, engine_context &context, const char **reason) noexcept {
  const char *name = wanted == 0 ? std::getenv("EFIO_ENGINE") : nullptr;
  if (name && std::strcmp(name, "auto") == 0) name = nullptr;
  for (const engine *e : engines) {
    if (wanted != 0 && e->id != wanted) continue;
    if (name && std::strcmp(e->name, name) != 0) continue;
    if (e->start(context, reason) != 0) continue;
    if (wanted != 0) *reason = "asked for by the port's options";
    if (name) *reason = "asked for by EFIO_ENGINE";
    return e;
  }
  return nullptr;
}

} // namespace ef

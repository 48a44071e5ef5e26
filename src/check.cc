// SPDX-License-Identifier: BSD-2-Clause
// The last words of a broken invariant.
#include "check.hh"

#include <cstdio>
#include <cstdlib>

namespace ef {

void check_failed(const char *what, const char *file, int line) noexcept {
  std::fprintf(stderr, "efio: internal error: %s (%s:%d)\n", what, file, line);
  std::abort();
}

} // namespace ef

// SPDX-License-Identifier: BSD-2-Clause
// What a file knows of its rotation.
#ifndef EF_ROTATION_STATE_HH
#define EF_ROTATION_STATE_HH

#include <efio.h>

#include <cstdint>

namespace ef {

struct rotation {
  std::uint64_t bytes_most; // fixed from the open on, as the next four; 0: no such bound
  std::int64_t age_most;    // ns, 0: no such bound
  unsigned keep;
  ef_rotate_fn *name;
  void *arg;
  unsigned long count;
  std::int64_t since;      // ns of now_ns(): when the file in use was opened
  std::int64_t not_before; // the last try went wrong
  int trouble;             // its errno, told
};

inline bool rotates(const rotation &r) noexcept { return r.bytes_most || r.age_most; }

} // namespace ef
#endif

// SPDX-License-Identifier: BSD-2-Clause
// The engine that reads through io_uring: a ring for each port, owned by the thread that drains the port. Buffered
// writes are declined, file systems punt them to threads of the kernel: ours cost less.
#ifndef EF_ENGINE_URING_HH
#define EF_ENGINE_URING_HH

#include "engine.hh"

namespace ef {

extern const engine engine_uring;

// See engines_turn_own.
bool uring_turn_own(std::int64_t wait_ns) noexcept;
void uring_before_fork() noexcept;
void uring_after_fork(bool child) noexcept;

} // namespace ef
#endif

// SPDX-License-Identifier: BSD-2-Clause
// The one place where threads start: detached, named, every signal blocked.
#ifndef EF_THREAD_HH
#define EF_THREAD_HH

namespace ef {

// 0 or a negated errno. The name has at most 15 bytes. Blocked signals: the host's handlers never run on our threads,
// and SIGXFSZ becomes EFBIG.
[[nodiscard]] int start_thread(const char *name, void (*run)(void *), void *arg) noexcept;

int threads_running() noexcept;
// In a fork child: none of them exist.
void threads_forget() noexcept;

} // namespace ef
#endif

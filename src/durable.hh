// SPDX-License-Identifier: BSD-2-Clause
// Durability: requests for it, how far it has come, and writing out before a crash ends the process.
#ifndef EF_DURABLE_HH
#define EF_DURABLE_HH

#include "file.hh"

#include <cstdint>

namespace ef {

// A request for durability of all accepted so far; its number, to be compared with syncs_done, and *target, to be
// compared with `synced`. tell: by an event as well. The lane is to be scheduled after it. Any thread.
std::uint64_t request_sync(file &f, bool tell, std::uint64_t *target) noexcept;

void init_serving(file &f) noexcept; // a new life
// The lane's, after a round of this parity: wakes those that it has answered.
void wake_served(file &f, unsigned round) noexcept;

// The lane's: is there something in the file that is not known to be on stable storage?
bool unsynced(const file &f) noexcept;

// The lane's: what is written is on stable storage, and the name of a new file. 0 or a negated errno.
int make_durable(file &f) noexcept;

// The lane's, after a successful sync: what it has written by now is durable.
void note_synced(file &f, std::uint64_t written) noexcept;

// A position behind what the calling thread wrote last, and perhaps behind bytes of others. Any thread.
std::uint64_t sequence_of_caller(file &f) noexcept;
// 1, 0 not yet, -EINVAL no position of this file. Any thread.
int synced_up_to(file &f, std::uint64_t sequence) noexcept;

// Has all files written out and waits for it until the deadline; the number of those that have something left.
// Async-signal-safe: no lock, no memory, and whatever it calls is lock-free.
int flush_before_crash(std::int64_t deadline) noexcept;

} // namespace ef
#endif

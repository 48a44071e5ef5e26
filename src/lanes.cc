// SPDX-License-Identifier: BSD-2-Clause
// Opening and closing of a file's write streams.
#include "lanes.hh"

#include <cerrno>
#include <new>

namespace ef {

int init_lanes(file &f, chunk_pool *pool, std::uint32_t chunks_max, bool by_thread) noexcept {
  f.out.open(pool, chunks_max);
  f.by_thread.store(by_thread, std::memory_order_relaxed); // published with the slot, as all here
  f.lanes_used.store(0, std::memory_order_relaxed);
  f.lane_at = 0;
  f.lane_rest = 0;
  if (!by_thread) return 0;
  write_lane *lanes = f.lanes.load(std::memory_order_relaxed);
  // Never freed: whoever writes to a file that is just being closed may still look at them.
  if (!lanes && !(lanes = new (std::nothrow) write_lane[limits::lanes_max]{})) return -ENOMEM;
  f.lanes.store(lanes, std::memory_order_relaxed);
  for (unsigned i = 0; i < limits::lanes_max; ++i) {
    lanes[i].out.open(pool, chunks_max, &f.out);
    lanes[i].flush_target.store(0, std::memory_order_relaxed);
    lanes[i].sync_target.store(0, std::memory_order_relaxed);
    lanes[i].synced.store(0, std::memory_order_relaxed);
  }
  return 0;
}

void close_streams(file &f) noexcept {
  f.out.close();
  if (!f.by_thread.load(std::memory_order_relaxed)) return;
  for (unsigned i = 0; i < limits::lanes_max; ++i) f.lanes.load(std::memory_order_relaxed)[i].out.close();
}

} // namespace ef

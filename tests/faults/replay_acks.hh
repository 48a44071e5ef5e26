// SPDX-License-Identifier: BSD-2-Clause
// What the writer and the checker of the replayed power cuts share: what is written where, and what was acknowledged.
#ifndef EF_TESTS_REPLAY_ACKS_HH
#define EF_TESTS_REPLAY_ACKS_HH

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace replay {

enum stream { by_event, by_wait, by_interval, preallocated, rotated, reopened, created, by_request, streams };
inline constexpr const char *names[streams] = {"by_event", "by_wait",  "by_interval", "preallocated",
                                               "rotated",  "reopened", "created",     "by_request"};

// Items 0 .. count - 1 of a stream are durable, says the library when the write log has this size. Early ones are the
// negative control: taken when the sync has begun.
struct ack {
  std::uint32_t of, early;
  std::uint64_t count, log_size;
};

constexpr std::size_t block_bytes = 4096; // an item of by_request

inline std::string item(int of, std::uint64_t n) {
  char head[64];
  std::snprintf(head, sizeof head, "%s %08llu ", names[of], static_cast<unsigned long long>(n));
  const std::size_t filler = (n * 2654435761u >> 7) % 300;
  std::string s = head + std::string(filler, static_cast<char>('a' + n % 26));
  if (of == by_request) s.resize(block_bytes - 1, '.');
  return s + "\n";
}

inline std::string created_name(std::uint64_t n) { return "created." + std::to_string(n); }

} // namespace replay
#endif

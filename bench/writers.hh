// SPDX-License-Identifier: BSD-2-Clause
// Ways of writing lines to a file, all behind one shape of call, so that their costs can be compared.
#ifndef EF_BENCH_WRITERS_HH
#define EF_BENCH_WRITERS_HH

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

// Hands over one line; waits where there is no room. lane: what the writer gave to this thread.
using line_fn = void(void *lane, const char *text, std::size_t length);

class writer {
 public:
  explicit writer(line_fn *line) : line(line) {}
  virtual ~writer() = default;
  writer(const writer &) = delete;
  writer &operator=(const writer &) = delete;

  virtual void *lane(int) { return this; }
  virtual void finish() {} // returns when every line is in the file; fails the measurement on an error
  virtual std::uint64_t waits() { return 0; } // calls that found no room

  line_fn *const line;
};

struct writer_kind {
  const char *name;
  std::unique_ptr<writer> (*open)(const std::string &path, int threads); // creates or truncates the file
  bool file = true;                                                      // writes one; else the lines go nowhere
};

extern const writer_kind memcpy_small, memcpy_large, efio_writer, write_each, write_blocks, stdio_unlocked,
    stdio_locked;
extern const writer_kind two_buffers, spdlog_sync_single, spdlog_sync, spdlog_async;

} // namespace bench
#endif

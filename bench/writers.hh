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
  virtual std::uint64_t waits() { return 0; }   // calls that found no room
  virtual std::uint64_t refused() { return 0; } // of them those whose lines were not taken
  virtual std::uint64_t dropped() { return 0; } // lines taken, thrown away and counted

  line_fn *const line;
};

// Whom a kind is for; with one thread some need no lock.
enum class callers { any, one, many };

struct writer_kind {
  const char *name;
  std::unique_ptr<writer> (*open)(const std::string &path, int threads); // creates or truncates the file
  callers threads = callers::any;
  int heading = 0;  // lines of its own that the file begins with
  bool file = true; // writes one; else the lines go nowhere
};

extern const writer_kind memcpy_small, memcpy_large, write_each, write_blocks;
extern const writer_kind efio_writer;                       // waits where there is no room
extern const writer_kind efio_by_thread;                    // each thread's lines in its own order
extern const writer_kind efio_slow;                         // the same, lines may be 5 s old
extern const writer_kind efio_told, efio_drops, efio_waits; // the line is refused, dropped, or waits in ef_write
extern const writer_kind stdio_unlocked, stdio_locked, stream_writer;
extern const writer_kind two_buffers, spdlog_sync_single, spdlog_sync, spdlog_async;
extern const writer_kind glog_writer, boost_sync, boost_async, log4cplus_file; // skip where they are not installed
extern const writer_kind uv_lines, uv_batches;

// Those that write a file, for so many threads; the first one is the limit.
std::vector<const writer_kind *> file_writers(int threads);

} // namespace bench
#endif

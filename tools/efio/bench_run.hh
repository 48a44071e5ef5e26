// SPDX-License-Identifier: BSD-2-Clause
// What efio bench measures: tests, each of efio beside the plain calls, in rounds that take turns.
#ifndef EFIO_TOOL_BENCH_RUN_HH
#define EFIO_TOOL_BENCH_RUN_HH

#include "bench_files.hh"
#include "histogram.hh"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tool {

std::int64_t now_ns();

// The clock's own part of each latency.
double clock_ns();

struct result {
  histogram latency;
  std::uint64_t bytes = 0;
  double seconds = 0, cpu_seconds = 0; // of the process, with the library's threads
};

// One round of one variant.
class bench_round {
 public:
  bench_round(const bench_files &on, double seconds, std::uint64_t seed, result *out)
      : files(on), seed(seed), seconds_(seconds), out_(out) {}

  // Around what counts; between them over() tells when to stop, and done() counts one operation.
  void begin();
  bool over() const { return now_ns() >= deadline_; }
  void done(std::int64_t began, std::size_t bytes) {
    out_->latency.add(now_ns() - began);
    out_->bytes += bytes;
  }
  void add(const result &part); // what another thread has counted
  void end();

  const bench_files &files;
  const std::uint64_t seed;

 private:
  double seconds_;
  result *out_;
  std::int64_t began_ = 0, deadline_ = 0;
  double cpu_ = 0;
};

// "" or what went wrong.
using measure_fn = std::string (*)(bench_round &);

struct bench_test {
  const char *name, *title;
  bool writes, cold; // cold: the file has to leave memory first
  struct {
    const char *who;
    measure_fn measure;
  } variants[2]; // efio, plain
};
const std::vector<bench_test> &bench_tests();

struct outcome {
  const bench_test *of;
  std::string skipped, failed; // why there are no results
  result results[2];
};

// Measures; before tells what comes next: the share done, the test, the variant.
using before_fn = std::function<void(double share, const std::string &what)>;
std::vector<outcome> run_tests(const std::vector<const bench_test *> &chosen, const bench_files &files, double seconds,
                               int rounds, const before_fn &before);

// ---- The tests' functions, efio's and plain
std::string read_cached_efio(bench_round &), read_cached_plain(bench_round &);
std::string read_cold_efio(bench_round &), read_cold_plain(bench_round &);
std::string read_deep_efio(bench_round &), read_deep_plain(bench_round &);
std::string read_sequential_efio(bench_round &), read_sequential_plain(bench_round &);
std::string write_line_efio(bench_round &), write_line_plain(bench_round &);
std::string write_sequential_efio(bench_round &), write_sequential_plain(bench_round &);
std::string sync_efio(bench_round &), sync_plain(bench_round &);

} // namespace tool
#endif

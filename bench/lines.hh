// SPDX-License-Identifier: BSD-2-Clause
// The lines that are written: 100 bytes each, told apart by thread and by their place in a cycle.
#ifndef EF_BENCH_LINES_HH
#define EF_BENCH_LINES_HH

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

constexpr std::size_t line_bytes = 100;

// 100, but the compiler does not know.
std::size_t line_length();

class line_cycle {
 public:
  static constexpr std::size_t lines = 8; // few, so that reading them costs nothing
  explicit line_cycle(int thread);
  const char *at(std::size_t i) const { return text_ + i % lines * line_bytes; }

 private:
  alignas(64) char text_[lines * line_bytes];
};

// Lines that are told apart by their numbers, for files in which some may be missing.
class numbered_line {
 public:
  explicit numbered_line(int thread);
  const char *number(std::size_t n); // valid until the next call

 private:
  alignas(64) char text_[line_bytes];
};

// Empty if the file holds, behind a heading of so many lines, nothing but whole lines, counts[t] of thread t, each
// thread's in their order; else what is wrong.
std::string check_lines(const std::string &path, const std::vector<std::size_t> &counts, int heading = 0);

// Empty if the file holds nothing but whole numbered lines, each thread's in their order, none twice; else what is
// wrong. Counts those of each thread.
std::string check_numbered(const std::string &path, int heading, std::vector<std::size_t> *counts);

} // namespace bench
#endif

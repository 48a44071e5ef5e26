// SPDX-License-Identifier: BSD-2-Clause
// The lines that are written: 100 bytes each, told apart by thread and by their place in a cycle.
#ifndef EF_BENCH_LINES_HH
#define EF_BENCH_LINES_HH

#include <cstddef>
#include <string>

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

// Empty if the file holds nothing but whole lines, count of each thread, each thread's in their order; else what is
// wrong.
std::string check_lines(const std::string &path, int threads, std::size_t count);

} // namespace bench
#endif

// SPDX-License-Identifier: BSD-2-Clause
// Making lines, and checking that a file holds them all.
#include "lines.hh"

#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace bench {

std::size_t line_length() {
  static volatile std::size_t length = line_bytes;
  return length;
}

line_cycle::line_cycle(int thread) {
  for (std::size_t i = 0; i < lines; ++i) {
    char *line = text_ + i * line_bytes;
    std::memset(line, '.', line_bytes);
    line[0] = static_cast<char>('A' + thread);
    line[1] = static_cast<char>('0' + i);
    line[line_bytes - 1] = '\n';
  }
}

std::string check_lines(const std::string &path, int threads, std::size_t count) {
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> in(std::fopen(path.c_str(), "re"), std::fclose);
  if (!in) return "no file";
  std::vector<line_cycle> expected;
  for (int t = 0; t < threads; ++t) expected.emplace_back(t);
  std::vector<std::size_t> seen(static_cast<std::size_t>(threads));
  char line[line_bytes];
  std::size_t n, total = 0;
  while ((n = std::fread(line, 1, line_bytes, in.get())) == line_bytes) {
    auto t = static_cast<std::size_t>(line[0] - 'A');
    if (t >= seen.size() || std::memcmp(line, expected[t].at(seen[t]), line_bytes) != 0)
      return "line " + std::to_string(total) + " is wrong";
    ++seen[t];
    ++total;
  }
  if (n != 0) return "the last line is torn";
  for (std::size_t s : seen)
    if (s != count) return std::to_string(s) + " lines of a thread instead of " + std::to_string(count);
  return "";
}

} // namespace bench

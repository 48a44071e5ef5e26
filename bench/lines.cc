// SPDX-License-Identifier: BSD-2-Clause
// Making lines, and checking that a file holds them all.
#include "lines.hh"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace bench {
namespace {

constexpr std::size_t digits = 12;

// Shows the lines of a file one by one; what is wrong with it, if right says so or the last one is torn.
template<class predicate> std::string each_line(const std::string &path, int heading, predicate right) {
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> in(std::fopen(path.c_str(), "re"), std::fclose);
  if (!in) return "no file";
  char line[line_bytes];
  for (int c; heading > 0 && (c = std::getc(in.get())) != EOF;) heading -= c == '\n';
  std::size_t n, total = 0;
  for (; (n = std::fread(line, 1, line_bytes, in.get())) == line_bytes; ++total)
    if (!right(line)) return "line " + std::to_string(total) + " is wrong";
  return n == 0 ? "" : "the last line is torn";
}

} // namespace

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

numbered_line::numbered_line(int thread) {
  std::memset(text_, '.', line_bytes);
  text_[0] = static_cast<char>('A' + thread);
  text_[line_bytes - 1] = '\n';
}

const char *numbered_line::number(std::size_t n) {
  for (std::size_t i = digits; i > 0; --i, n /= 10) text_[i] = static_cast<char>('0' + n % 10);
  return text_;
}

std::string check_lines(const std::string &path, const std::vector<std::size_t> &counts, int heading) {
  std::vector<line_cycle> expected;
  for (std::size_t t = 0; t < counts.size(); ++t) expected.emplace_back(static_cast<int>(t));
  std::vector<std::size_t> seen(counts.size());
  std::string wrong = each_line(path, heading, [&](const char *line) {
    auto t = static_cast<std::size_t>(static_cast<unsigned char>(line[0]) - 'A');
    return t < seen.size() && std::memcmp(line, expected[t].at(seen[t]++), line_bytes) == 0;
  });
  for (std::size_t t = 0; wrong.empty() && t < counts.size(); ++t)
    if (seen[t] != counts[t])
      return std::to_string(seen[t]) + " lines of a thread instead of " + std::to_string(counts[t]);
  return wrong;
}

std::string check_numbered(const std::string &path, int heading, std::vector<std::size_t> *counts) {
  std::vector<std::size_t> next(counts->size());
  counts->assign(counts->size(), 0);
  return each_line(path, heading, [&](const char *line) {
    auto t = static_cast<std::size_t>(static_cast<unsigned char>(line[0]) - 'A');
    std::size_t n = std::strtoull(std::string(line + 1, digits).c_str(), nullptr, 10);
    if (t >= next.size() || n < next[t]) return false;
    if (std::memcmp(line, numbered_line(static_cast<int>(t)).number(n), line_bytes) != 0) return false;
    next[t] = n + 1;
    ++(*counts)[t];
    return true;
  });
}

} // namespace bench

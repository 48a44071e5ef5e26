// SPDX-License-Identifier: BSD-2-Clause
// Numbered lines of several threads: what was written says who wrote it and when, so that whoever reads a file and its
// rotated parts knows whether something is missing, there twice, torn or made up.
#ifndef EF_TESTS_FAULTS_NUMBERED_HH
#define EF_TESTS_FAULTS_NUMBERED_HH

#include <dirent.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace numbered {

constexpr unsigned threads_most = 8;
constexpr std::size_t line_most = 70000;

// Line `number` (from 1 on) of a thread in a file, into `to` of line_most bytes; its length. Most are short, some fill
// a chunk of the library.
inline std::size_t line(unsigned file, unsigned thread, std::uint32_t number, char *to) {
  std::uint64_t mix = (file + 1) * 0x9e3779b97f4a7c15 + thread * 0xbf58476d1ce4e5b9 + number * 0x94d049bb133111eb;
  mix = (mix ^ mix >> 29) * 0xbf58476d1ce4e5b9;
  mix ^= mix >> 32;
  auto n = static_cast<std::size_t>(std::snprintf(to, 64, "f%u t%u n%u ", file, thread, number));
  const std::size_t more = (mix >> 10) % (mix % 512 == 0 ? 60000 : mix % 32 == 0 ? 4000 : 120);
  std::memset(to + n, static_cast<int>('a' + mix % 26), more);
  to[n + more] = '\n';
  return n + more + 1;
}

struct found {
  std::uint64_t bytes = 0;
  std::uint32_t lines[threads_most] = {}; // whole ones of each thread, from the first on
  std::size_t torn = 0;                   // bytes at the very end that begin a line
  std::string wrong;                      // empty, or the first thing that must not be
};

// All parts of a file one behind the other, the oldest first: path.9 .. path.1, path; or, if they are numbered as they
// were made, path.1 .. path.9, path.
inline std::string all_parts(const std::string &directory, const std::string &name, bool rising) {
  std::vector<std::pair<long, std::string>> parts;
  DIR *d = ::opendir(directory.c_str());
  for (const dirent *e; d && (e = ::readdir(d));) {
    const std::string n = e->d_name;
    if (n == name) parts.push_back({rising ? LONG_MAX : 0, n});
    if (n.compare(0, name.size() + 1, name + ".") == 0) parts.push_back({std::atol(n.c_str() + name.size() + 1), n});
  }
  if (d) ::closedir(d);
  std::sort(parts.begin(), parts.end());
  if (!rising) std::reverse(parts.begin(), parts.end());
  std::string all;
  for (const auto &p : parts) {
    FILE *f = std::fopen((directory + "/" + p.second).c_str(), "r");
    char b[65536];
    for (std::size_t n; f && (n = std::fread(b, 1, sizeof b, f)) > 0;) all.append(b, n);
    if (f) std::fclose(f);
  }
  return all;
}

// The bytes from `at` on begin the next line of some thread of this file?
inline bool begins_a_line(const std::string &all, std::size_t at, unsigned file, const found &so_far) {
  static char text[line_most];
  for (unsigned t = 0; t < threads_most; ++t) {
    const std::size_t n = line(file, t, so_far.lines[t] + 1, text), left = all.size() - at;
    if (left < n && std::memcmp(all.data() + at, text, left) == 0) return true;
  }
  return false;
}

// Each thread's lines from 1 on without a gap, each once, nothing else; only the last one may be cut off.
inline found look(const std::string &all, unsigned file) {
  static char text[line_most];
  found r;
  r.bytes = all.size();
  for (std::size_t at = 0; at < all.size();) {
    unsigned f = 0, thread = threads_most;
    std::uint32_t number = 0;
    char head[64] = {};
    all.copy(head, sizeof head - 1, at);
    const bool named = std::sscanf(head, "f%u t%u n%u ", &f, &thread, &number) == 3 && thread < threads_most;
    const std::size_t n = named ? line(file, thread, number, text) : 0;
    if (!named || f != file || all.compare(at, n, text, n) != 0) {
      r.torn = all.size() - at;
      if (!begins_a_line(all, at, file, r)) r.wrong = "no line at byte " + std::to_string(at);
      return r;
    }
    if (number != r.lines[thread] + 1) {
      r.wrong = "thread " + std::to_string(thread) + ": line " + std::to_string(number) + " behind line " +
                std::to_string(r.lines[thread]);
      return r;
    }
    ++r.lines[thread];
    at += n;
  }
  return r;
}

} // namespace numbered
#endif

// SPDX-License-Identifier: BSD-2-Clause
// What is left after a power cut against what was acknowledged before it: every acknowledged line, whole, once, in its
// thread's order, over all parts of its file.
#ifndef EF_TESTS_FAULTS_CUT_VERIFY_HH
#define EF_TESTS_FAULTS_CUT_VERIFY_HH

#include "cut_plan.hh"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

namespace cut {

using counts = std::uint32_t[files_most][threads_most];

struct verdict {
  std::uint64_t acknowledged, lost, gone, wrong; // gone: written, not acknowledged, not there: the cut was one
  std::uint64_t parts;                           // files found
  std::string first;                             // what is wrong, if anything is
};

class verifier {
 public:
  verifier(const plan &p, const counts &acked, const counts &said) : p_(p), acked_(acked), said_(said) {}

  verdict look(const std::string &directory) {
    for (unsigned f = 0; f < p_.files; ++f) {
      std::uint32_t last[threads_most] = {}, kept[threads_most] = {}, more[threads_most] = {};
      const auto all = parts(directory, f);
      v_.parts += all.size();
      for (const std::string &part : all) scan(part, f, last, kept, more);
      for (unsigned t = 0; t < p_.threads; ++t) settle(f, t, kept[t], more[t]);
    }
    return v_;
  }

 private:
  // The oldest first. What is rotated by rotate_keep has the higher number the older it is.
  std::vector<std::string> parts(const std::string &directory, unsigned file) const {
    const std::string name = "f" + std::to_string(file), stem = name + ".";
    std::vector<std::pair<long, std::string>> found;
    std::error_code bad;
    for (const auto &entry : std::filesystem::directory_iterator(directory, bad)) {
      const std::string n = entry.path().filename();
      if (n == name) found.push_back({p_.renames == renaming::shifted ? 0 : LONG_MAX, entry.path()});
      if (n.compare(0, stem.size(), stem) == 0) found.push_back({std::atol(n.c_str() + stem.size()), entry.path()});
    }
    std::sort(found.begin(), found.end());
    if (p_.renames == renaming::shifted) std::reverse(found.begin(), found.end());
    std::vector<std::string> sorted;
    for (auto &f : found) sorted.push_back(f.second);
    return sorted;
  }

  void scan(const std::string &path, unsigned file, std::uint32_t *last, std::uint32_t *kept, std::uint32_t *more) {
    std::ifstream in(path, std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    bool torn = false; // something that is no line: only what nobody acknowledged may be so, and nothing comes behind
    for (std::size_t at = 0; at < all.size();) {
      std::size_t end = all.find('\n', at);
      end = end == std::string::npos ? all.size() : end + 1;
      unsigned thread;
      std::uint32_t number;
      if (!whole(all.data() + at, end - at, file, &thread, &number)) {
        torn = true;
      } else {
        const bool promised = number <= acked_[file][thread];
        if (number <= last[thread]) wrong(path, "twice or out of order", thread, number);
        if (torn && promised) wrong(path, "behind bytes that are no line", thread, number);
        last[thread] = std::max(last[thread], number);
        ++(promised ? kept : more)[thread];
      }
      at = end;
    }
  }

  bool whole(const char *s, std::size_t n, unsigned file, unsigned *thread, std::uint32_t *number) const {
    char head[64] = {};
    std::memcpy(head, s, std::min(n, sizeof head - 1));
    unsigned seed, f;
    if (std::sscanf(head, "%8x f%u t%u n%u ", &seed, &f, thread, number) != 4) return false;
    if (f != file || *thread >= p_.threads) return false;
    const std::string expected = line(p_, file, *thread, *number);
    return expected.size() == n && std::memcmp(expected.data(), s, n) == 0;
  }

  void settle(unsigned file, unsigned thread, std::uint32_t kept, std::uint32_t more) {
    const std::uint32_t promised = acked_[file][thread];
    v_.acknowledged += promised;
    if (kept < promised) {
      v_.lost += promised - kept;
      note("f" + std::to_string(file), "of the acknowledged lines are there", thread, kept);
    }
    const std::uint32_t open = said_[file][thread] - std::min(said_[file][thread], promised);
    v_.gone += open - std::min(open, more);
  }

  void wrong(const std::string &path, const char *what, unsigned thread, std::uint32_t number) {
    ++v_.wrong;
    note(path, what, thread, number);
  }
  void note(const std::string &where, const char *what, unsigned thread, std::uint32_t number) {
    if (v_.first.empty())
      v_.first = where + ", thread " + std::to_string(thread) + ", " + std::to_string(number) + ": " + what;
  }

  const plan &p_;
  const counts &acked_, &said_;
  verdict v_{};
};

} // namespace cut
#endif

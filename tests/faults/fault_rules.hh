// SPDX-License-Identifier: BSD-2-Clause
// What faultfs does to which operation: rules, written as lines into its control file, and counters of every operation,
// read from it.
#ifndef EF_TESTS_FAULT_RULES_HH
#define EF_TESTS_FAULT_RULES_HH

#include <fnmatch.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

namespace faultfs {

enum operation { op_open, op_create, op_read, op_write, op_fsync, op_flush, op_truncate, op_rename, op_unlink, op_all };
inline constexpr std::array<const char *, op_all + 1> operation_names = {
    "open", "create", "read", "write", "fsync", "flush", "truncate", "rename", "unlink", "all"};

// One line: OPERATION [name=PATTERN] [errno=N|NAME] [skip=N] [count=N] [delay_ms=N] [length_max=N] [hang]
// The operations on files whose name matches: `skip` get through first, `count` are hit (-1, the default: for ever).
struct rule {
  int op = op_all;
  std::string name = "*";
  int error = 0;
  long skip = 0, count = -1, delay_ms = 0;
  std::size_t length_max = SIZE_MAX; // of a read or write; the rest is a short transfer
  bool hang = false;                 // until this rule is taken away
};

// What is to happen to one operation.
struct verdict {
  int error = 0;
  long delay_ms = 0;
  std::size_t length_max = SIZE_MAX;
  unsigned long hang = 0; // the generation of rules that it hangs with; 0: it does not
};

inline int error_of(const std::string &text) { // a number or a name; -1: neither
  char *end;
  const long n = std::strtol(text.c_str(), &end, 10);
  if (!text.empty() && *end == 0) return static_cast<int>(n);
  for (int e = 1; e < 134; ++e)
    if (const char *name = ::strerrorname_np(e); name && text == name) return e;
  return -1;
}

class rules {
 public:
  // 0, or EINVAL: then nothing of this line is in force. "heal" takes all rules away and lets go what hangs.
  int command(const std::string &line) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word) || word[0] == '#') return 0;
    const std::lock_guard<std::mutex> hold(mutex_);
    if (word == "heal") return all_.clear(), ++generation_, 0;
    rule r;
    for (r.op = 0; r.op <= op_all && word != operation_names[r.op]; ++r.op) {}
    if (r.op > op_all) return EINVAL;
    while (words >> word)
      if (!setting(r, word)) return EINVAL;
    all_.push_back(r);
    return 0;
  }

  // Counts the operation and answers what the first rule that hits it says.
  verdict judge(operation op, const std::string &name) {
    const std::lock_guard<std::mutex> hold(mutex_);
    ++counts_[op].calls;
    for (rule &r : all_) {
      if ((r.op != op && r.op != op_all) || ::fnmatch(r.name.c_str(), name.c_str(), 0) != 0) continue;
      if (r.skip > 0) {
        --r.skip;
        continue;
      }
      if (r.count == 0) continue;
      if (r.count > 0) --r.count;
      ++counts_[op].hits;
      return {r.error, r.delay_ms, r.length_max, r.hang ? generation_ : 0};
    }
    return {};
  }

  bool hangs(unsigned long generation) {
    const std::lock_guard<std::mutex> hold(mutex_);
    return generation == generation_;
  }
  void hanging(operation op, int change) {
    const std::lock_guard<std::mutex> hold(mutex_);
    counts_[op].hanging += change;
  }

  std::string report() { // "OPERATION calls N hits N hanging N", a line each
    const std::lock_guard<std::mutex> hold(mutex_);
    std::ostringstream out;
    for (int op = 0; op < op_all; ++op)
      out << operation_names[op] << " calls " << counts_[op].calls << " hits " << counts_[op].hits << " hanging "
          << counts_[op].hanging << '\n';
    return out.str();
  }

 private:
  struct count {
    unsigned long calls = 0, hits = 0;
    long hanging = 0;
  };

  static bool setting(rule &r, const std::string &word) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) return word == "hang" && (r.hang = true);
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (key == "name") return r.name = value, true;
    if (key == "errno") return (r.error = error_of(value)) >= 0;
    char *end;
    const long n = std::strtol(value.c_str(), &end, 10);
    if (value.empty() || *end != 0) return false;
    if (key == "skip") return r.skip = n, true;
    if (key == "count") return r.count = n, true;
    if (key == "delay_ms") return r.delay_ms = n, true;
    if (key == "length_max") return r.length_max = static_cast<std::size_t>(n), n > 0;
    return false;
  }

  std::mutex mutex_; // of everything below
  std::vector<rule> all_;
  std::array<count, op_all> counts_{};
  unsigned long generation_ = 1;
};

} // namespace faultfs
#endif

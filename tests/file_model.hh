// SPDX-License-Identifier: BSD-2-Clause
// What a file must hold: with all that was accepted, and with any beginning of it, which is what a failure leaves.
#ifndef EF_TESTS_FILE_MODEL_HH
#define EF_TESTS_FILE_MODEL_HH

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <string>

namespace core {

class file_model {
 public:
  const std::string &all() const { return all_; }
  std::size_t size() const { return all_.size(); }
  std::uint64_t accepted() const { return accepted_; }

  // A new life of its handle: counts begin again.
  void begin(bool empty) {
    if (empty) all_.clear();
    base_ = all_;
    later_.clear();
    begins_.clear();
    accepted_ = 0;
  }
  // The file is another one from now on, an empty one; what the old one holds is told.
  std::string leave() {
    std::string left = std::move(all_);
    all_.clear();
    base_.clear();
    later_.clear();
    return left;
  }
  // What is on the disk, whatever was accepted.
  void become(std::string found) {
    all_ = std::move(found);
    begin(false);
  }

  void accept(std::size_t at, const char *bytes, std::size_t n) {
    place(all_, at, bytes, n);
    begins_.insert(at);
    later_.push_back({accepted_, at, std::string(bytes, n)});
    accepted_ += n;
  }
  // Of what was accepted since begin(), one call after the other.
  bool begins_a_call(std::size_t at) const { return at == all_.size() || begins_.count(at); }
  bool is_one_call(std::size_t at, std::size_t n) const {
    const auto next = begins_.upper_bound(at);
    return begins_.count(at) && (next == begins_.end() ? all_.size() : *next) == at + n;
  }

  // By a request, when nothing is on its way.
  void write_at(std::size_t at, const char *bytes, std::size_t n) {
    written(accepted_);
    place(all_, at, bytes, n);
    place(base_, at, bytes, n);
  }

  // The kernel has so much of what was accepted.
  void written(std::uint64_t count) {
    while (!later_.empty() && later_.front().from + later_.front().bytes.size() <= count) {
      place(base_, later_.front().at, later_.front().bytes.data(), later_.front().bytes.size());
      later_.pop_front();
    }
  }

  // Is this the file after the first `least` accepted bytes, or some more of them?
  bool may_be(const std::string &found, std::uint64_t least) {
    written(least);
    std::string made = base_;
    made.resize(std::max({found.size(), all_.size(), made.size()}));
    std::size_t wrong = 0, end = base_.size();
    for (std::size_t i = 0; i < made.size(); ++i) wrong += made[i] != byte_of(found, i);
    for (const piece &p : later_)
      for (std::size_t i = 0; i < p.bytes.size(); ++i) {
        if (p.from + i >= least && wrong == 0 && end == found.size()) return true;
        wrong -= made[p.at + i] != byte_of(found, p.at + i);
        made[p.at + i] = p.bytes[i];
        wrong += made[p.at + i] != byte_of(found, p.at + i);
        end = std::max(end, p.at + i + 1);
      }
    return wrong == 0 && end == found.size();
  }

 private:
  struct piece {
    std::uint64_t from;
    std::size_t at;
    std::string bytes;
  };
  static void place(std::string &in, std::size_t at, const char *bytes, std::size_t n) {
    if (n == 0) return; // which makes nothing longer
    if (in.size() < at + n) in.resize(at + n);
    in.replace(at, n, bytes, n);
  }
  static char byte_of(const std::string &s, std::size_t i) { return i < s.size() ? s[i] : '\0'; }

  std::string all_, base_; // base_: without `later_`
  std::deque<piece> later_;
  std::set<std::size_t> begins_; // of the calls
  std::uint64_t accepted_ = 0;
};

} // namespace core
#endif

// SPDX-License-Identifier: BSD-2-Clause
// A modelled file with requests at an offset, which are over once; and which a log's host renames and opens anew, or
// which the library rotates.
#ifndef EF_TESTS_REQUESTED_FILE_HH
#define EF_TESTS_REQUESTED_FILE_HH

#include "modelled_file.hh"

#include <list>

namespace core {

class requested_file;

struct request {
  ef_request q{};
  requested_file *of = nullptr;
  std::string buffer;
  iovec parts[2]{};             // of buffer
  std::size_t at = 0, size = 0; // of the file, when it was begun
  bool write = false, going = false, cancelled = false;
  bool unsure = false; // its file was closed: what it finds is anybody's guess
};

class requested_file : public modelled_file {
 public:
  using modelled_file::modelled_file;

  // Idle again, or in progress.
  void begin(request &r) {
    const bool write = writes_ && (!reads_ || dice_.below(3) == 0);
    if (in_use(false) || (write && !may_write_at())) return;
    r.q = ef_request{};
    r.of = this;
    r.write = write;
    r.going = r.cancelled = r.unsure = false;
    r.at = dice_.below(model_.size() + 2000);
    r.size = model_.size();
    r.buffer.assign(1 + dice_.below(30000), static_cast<char>('a' + dice_.below(26)));
    const ssize_t n = hand_over(r);
    if (n >= 0) {
      r.q.result = n;
      r.q.error = 0;
      return finish(r);
    }
    if (errno != EINPROGRESS) return check(may_fail(errno), "a request");
    note(r.write ? "write begun at, bytes" : "read begun at, bytes", r.at, r.buffer.size());
    all_.push_back(&r);
    r.going = true;
  }

  // Its event was taken, or it was taken back.
  void over(request &r) {
    check(r.going, "a request is over once");
    r.going = false;
    if (r.unsure) return;
    all_.remove(&r);
    finish(r);
  }
  void cancel(request &r) {
    r.cancelled = true;
    check(ef_cancel(&r.q) == 0 || errno == ENOENT, "ef_cancel");
  }
  // True: it is over, and no event comes. False: its event was taken, or is on its way.
  bool take_back(request &r) {
    r.cancelled = true;
    if (ef_cancel_wait(&r.q) < 0) return check(errno == ENOENT, "ef_cancel_wait"), false;
    over(r);
    return true;
  }

  bool may_close() const { return !in_use(false); }
  void close_under_requests() {
    begin_close();
    for (request *r : all_) r->unsure = true;
    all_.clear();
  }
  bool moved() const { return moved_; }
  long rotations = 0; // of all its lives

  // As a host does with its log: another name for the old file, then ef_reopen. No file to write to is missing.
  void move_away() {
    if (!writes_ || reads_ || !named_ || rotates_ || fatal || passing || !all_.empty() || waits & EF_OPEN) return;
    const int open = ef_watch(fd, EF_OPEN, tag());
    check(open >= 0, "ef_watch");
    if (open == 0) waits |= EF_OPEN, ++again;
    if (open == 0 || left_.size() >= 3) return;
    const std::string to = path + ".old" + std::to_string(left_.size());
    check(::rename(path.c_str(), to.c_str()) == 0, "rename");
    check(ef_reopen(fd) == 0, "ef_reopen");
    note("moved away, size", model_.size());
    left_.push_back({to, model_.leave()});
    moved_ = true;
    write_at_ = 0;
  }
  void check_contents(const char *when) override {
    if (rotates_) return check_rotated(when);
    for (const auto &[name, bytes] : left_) check(contents(name) == bytes, "what was accepted before ef_reopen");
    if (moved_ && model_.size() == 0 && ::access(path.c_str(), F_OK) < 0) return; // not opened anew yet
    modelled_file::check_contents(when);
  }
  void forget_old() {
    for (const auto &[name, bytes] : left_) check(::unlink(name.c_str()) == 0, "unlink");
    left_.clear();
    if (rotates_) model_.become(contents(path));
    for (unsigned long n = 1; n <= turns_; ++n) check(::unlink(turned(n).c_str()) == 0, "unlink of a rotated one");
    rotations += static_cast<long>(turns_.exchange(0));
    rotates_ = false;
  }

 private:
  std::list<request *> all_; // in progress
  std::vector<std::pair<std::string, std::string>> left_;
  bool rotates_ = false;
  std::size_t part_most_ = 0;
  std::atomic<unsigned long> turns_{0}; // rotations, each with a name of its own

  std::string turned(unsigned long n) const { return path + ".turn" + std::to_string(n); }
  static int turn(void *arg, const char *path, unsigned long count, char *to, std::size_t size) {
    auto &f = *static_cast<requested_file *>(arg);
    stress::require(path == f.path && count == ++f.turns_, "rotations are counted");
    return std::snprintf(to, size, "%s", f.turned(count).c_str()) < static_cast<int>(size) ? 0 : ENAMETOOLONG;
  }
  void more_options(ef_file_options &o) override {
    if (reads_ || !writes_ || !named_ || dice_.below(3)) return;
    rotates_ = moved_ = true;
    o.rotate_bytes = part_most_ = 1000 + dice_.below(60000);
    o.rotate = turn;
    o.rotate_arg = this;
    note("rotates after", part_most_);
  }
  // Its parts together hold what was accepted; each is no longer than it may be, or is one call.
  void check_rotated(const char *when) {
    const unsigned long turns = turns_.load();
    std::string found;
    for (unsigned long n = 1; n <= turns + 1; ++n) {
      const std::string part = contents(n > turns ? path : turned(n));
      check(part.size() <= part_most_ || model_.is_one_call(found.size(), part.size()), "a part is too long");
      check(model_.begins_a_call(found.size()), "no call is parted");
      found += part;
    }
    check(found == model_.all(), when);
  }

  bool in_use(bool writing, std::size_t at = 0, std::size_t n = SIZE_MAX) const override {
    for (const request *r : all_)
      if (r->write || (writing && r->at < at + n && at < r->at + r->buffer.size())) return true;
    return false;
  }
  // Between ef_write and ef_pwrite there is no order, so there is nothing to come.
  bool may_write_at() const {
    return all_.empty() && !fatal && !passing && !moved_ && stats(fd).written == model_.accepted();
  }
  bool may_fail(int error) const { return error && (error == fatal || error == passing || error == unread); }

  ssize_t hand_over(request &r) {
    const auto at = static_cast<off_t>(r.at);
    const std::size_t n = r.buffer.size(), a = dice_.below(n);
    char *b = r.buffer.data();
    r.parts[0] = {b, a}, r.parts[1] = {b + a, n - a};
    switch (dice_.below(3)) {
    case 0:
      return r.write ? ef_pwritev(fd, r.parts, 2, at, &r.q) : ef_preadv(fd, r.parts, 2, at, &r.q);
    case 1:
      return r.write ? ef_pwrite(fd, b, n, at, &r.q) : ef_pread(fd, b, n, at, &r.q);
    default:
      return submit(r);
    }
  }
  ssize_t submit(request &r) {
    r.q.op = r.write ? EF_PWRITE : EF_PREAD;
    r.q.fd = fd;
    r.q.buffer = {r.buffer.data(), r.buffer.size()};
    r.q.offset = static_cast<off_t>(r.at);
    ef_request *list[] = {&r.q};
    const int going = ef_submit(list, 1);
    // One that is in progress is the library's, and may be over by now.
    if (going == 0) check((r.q.result < 0) == (r.q.error != 0), "ef_submit");
    errno = going ? EINPROGRESS : r.q.error;
    return going ? -1 : r.q.result;
  }

  void finish(const request &r) {
    note(r.write ? "written at, bytes, result, error, cancelled" : "got at, bytes, result, error, cancelled", r.at,
         r.buffer.size(), r.q.result, r.q.error, r.cancelled);
    const auto n = static_cast<std::size_t>(std::max<ssize_t>(r.q.result, 0));
    const bool given_up = r.q.error == ECANCELED && r.cancelled;
    check((r.q.result < 0) == (r.q.error != 0) && n <= r.buffer.size(), "a count or an errno");
    check(!r.q.error || given_up || may_fail(r.q.error), "the errno of a request");
    if (r.write) {
      check(r.q.error || n == r.buffer.size() || r.cancelled || fatal || passing, "all is written");
      return model_.write_at(r.at, r.buffer.data(), n);
    }
    read_ += n;
    if (r.q.error || fatal) return;
    auto there = [&](std::size_t size) { return std::min(r.buffer.size(), size - std::min(r.at, size)); };
    check(n >= there(r.size) || unread, "short at the end of the file alone");
    check(n <= there(model_.size()), "not beyond the end of the file");
    check(n == 0 || std::memcmp(r.buffer.data(), model_.all().data() + r.at, n) == 0, "the bytes that were written");
  }
};

} // namespace core
#endif

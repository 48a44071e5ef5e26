// SPDX-License-Identifier: BSD-2-Clause
// Two event loops' worth of files and requests on a machine that misbehaves, moved on by a call at a time: what is
// called, and what goes wrong, are choices of a call_dice. Every answer and every event agrees with the model, every
// promise is kept once the machine is well again, and at the end nothing is left.
#ifndef EF_TESTS_CALL_WORLD_HH
#define EF_TESTS_CALL_WORLD_HH

#include "hearing.hh"
#include "misuse.hh"
#include "requested_file.hh"

#include <array>
#include <memory>

namespace core {

class call_world {
 public:
  static constexpr std::size_t files = 5, requests = 12;
  static constexpr long steps_most = 500;

  call_world(const std::string &dir, const call_dice &dice) : dice_(dice) {
    faulty::heal();
    for (auto &e : ears_)
      e = std::make_unique<hearing>(static_cast<form>(dice_.below(3)),
                                    dice_.below(2) ? EF_ENGINE_THREADS : EF_ENGINE_AUTO);
    for (std::size_t i = 0; i < files; ++i) {
      all_[i] = std::make_unique<requested_file>(ear_of(i).port, dir + "/" + std::to_string(i), i, dice_);
      all_[i]->droppings = true;
      open(*all_[i]);
    }
  }

  void step() {
    requested_file &f = *all_[dice_.below(files)];
    switch (dice_.below(40)) {
    case 0:
      return misuse(f);
    case 1:
      return change_the_machine();
    case 2:
      return be_well(false);
    case 3:
      return close(f);
    case 4:
      return disarm(f);
    case 5:
      return f.waits != EF_CLOSE ? f.move_away() : void();
    case 6:
    case 7:
      return listen(1);
    case 8:
    case 9:
    case 10:
      return look_after(requests_[dice_.below(requests)], f);
    default:
      if (f.waits != EF_CLOSE && f.can_step()) f.step();
      listen(0);
    }
  }

  // All is healed; then every promise is kept, every file closes, and each holds what it must.
  void end() {
    be_well(true);
    ending_ = true;
    for (auto &f : all_)
      if (f->waits != EF_CLOSE) f->close_under_requests();
    be_well(true);
    for (auto &e : ears_) {
      stress::require(e->take(5, dice_).empty(), "nothing more");
      stress::require(ef_drain(e->port, patience_ms) == 0, "ef_drain");
    }
  }

  long events = 0, over = 0, failures = 0;
  long rotations() const {
    long n = 0;
    for (const auto &f : all_) n += f->rotations;
    return n;
  }

 private:
  call_dice dice_;
  std::array<std::unique_ptr<hearing>, 2> ears_;
  std::array<std::unique_ptr<requested_file>, files> all_;
  std::array<request, requests> requests_;
  std::vector<int> stale_; // numbers of closed files
  bool ending_ = false, no_space_ = false;

  // What goes wrong at the moment meets new files, too.
  void open(requested_file &f) {
    f.reopen();
    if (faulty::now.write_errno == ENOSPC) f.passing = ENOSPC;
    if (faulty::now.write_errno == EIO || faulty::now.sync_errno) f.fatal = EIO;
    f.unread = faulty::now.read_errno;
  }

  hearing &ear_of(std::size_t i) { return *ears_[i % ears_.size()]; }

  void misuse(requested_file &f) {
    const wrong_call &c = wrong_calls[dice_.below(std::size(wrong_calls))];
    if (f.waits == EF_CLOSE) return;
    errno = 0;
    const long r = c.make(f.fd, ear_of(modelled_file::number_of(f.tag())).port);
    const bool other =
        errno == EBADF || errno == ESPIPE || (f.fatal && errno == f.fatal) || (f.unread && errno == f.unread);
    f.check(r == -1 && (errno == c.error || other), c.name);
  }

  void change_the_machine() {
    if (no_space_) return;
    faulty::heal();
    faulty::now.nowait_miss = static_cast<unsigned>(dice_.below(4) * 300);
    faulty::now.nowait_none = dice_.below(8) == 0;
    faulty::now.short_read = static_cast<unsigned>(dice_.below(3) * 300);
    faulty::now.short_write = static_cast<unsigned>(dice_.below(3) * 400);
    faulty::now.delay = static_cast<unsigned>(dice_.below(3) * 100);
    faulty::now.uring_passing = static_cast<unsigned>(dice_.below(2) * 200);
    faulty::now.uring_full = static_cast<unsigned>(dice_.below(2) * 200);
    switch (dice_.below(6)) {
    case 0:
      return fill_the_disk();
    case 1:
      return ruin(faulty::now.write_errno);
    case 2:
      return ruin(faulty::now.sync_errno);
    case 3:
      for (auto &f : all_) f->unread = EIO;
      faulty::now.errno_chance = 200;
      faulty::now.read_errno = EIO;
    }
  }
  void fill_the_disk() {
    for (auto &f : all_)
      if (f->waits == EF_CLOSE) return; // what cannot be written then is given up
    for (auto &f : all_) f->passing = ENOSPC;
    faulty::now.errno_chance = 1024;
    faulty::now.writes_before_errno = static_cast<long>(dice_.below(4));
    faulty::now.write_errno = ENOSPC;
    no_space_ = true;
    ++failures;
  }
  // What the disk refuses for good it refuses everybody.
  void ruin(std::atomic<int> &what) {
    for (auto &f : all_)
      if (f->moved()) return; // which of its files lacks bytes is not modelled
    for (auto &f : all_) f->fatal = EIO;
    faulty::now.errno_chance = dice_.below(2) ? 1024 : 300;
    faulty::now.writes_before_errno = static_cast<long>(dice_.below(4));
    what = EIO;
    ++failures;
  }

  // Every promise is kept, and every request is over.
  void be_well(bool requests_too) {
    faulty::heal();
    no_space_ = false;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    auto waiting = [&] {
      for (auto &f : all_)
        if (f->waits) return true;
      for (auto &r : requests_)
        if (requests_too && r.going) return true;
      return false;
    };
    while (waiting()) {
      listen(20);
      if (std::chrono::steady_clock::now() < end) continue;
      for (auto &r : requests_)
        if (r.going) std::printf("  in progress: file %s, at %zu\n", r.of->path.c_str(), r.at);
      for (std::size_t i = 0; i < ears_.size(); ++i)
        std::printf("  port %zu: %s, %d misses not handed over\n", i, ears_[i]->name(),
                    ef_port_pending(ears_[i]->port));
      for (auto &f : all_) f->check(f->waits == 0, "a promise is kept");
      stress::failed("every request is over");
    }
  }

  void close(requested_file &f) {
    if (no_space_ || f.waits == EF_CLOSE || !f.may_close() || dice_.below(4)) return;
    f.close_under_requests();
  }
  void disarm(requested_file &f) {
    if (f.waits == EF_CLOSE) return;
    f.disarm();
    for (auto &e : ears_) e->forget(modelled_file::number_of(f.tag()));
  }

  void look_after(request &r, requested_file &f) {
    if (!r.going && f.waits != EF_CLOSE) return f.begin(r);
    if (!r.going) return;
    if (dice_.below(3) == 0) return r.of->cancel(r);
    if (dice_.below(3) == 0 && r.of->take_back(r)) ++over;
  }

  void listen(int ms) {
    for (auto &e : ears_)
      for (const ef_event &event : e->take(ms, dice_)) {
        ++events;
        event.events &EF_REQUEST ? request_over(event) : told(*e, event);
      }
  }
  void request_over(const ef_event &e) {
    for (request &r : requests_)
      if (e.data == &r.q) {
        stress::require(e.events == EF_REQUEST, "EF_REQUEST comes alone");
        ++over;
        return r.of->over(r);
      }
    stress::failed("a request of ours");
  }
  void told(const hearing &ear, const ef_event &e) {
    const std::uint64_t k = modelled_file::number_of(e.data);
    stress::require(k < files, "data of ours");
    requested_file &f = *all_[k];
    if (ear.direct() && f.waits == EF_CLOSE && !(e.events & EF_CLOSE)) return; // on its way when it was closed
    f.check(e.fd == f.fd && e.data == f.tag(), "an event of this life of the file");
    f.told(e.events, e.error);
    if (!(e.events & EF_CLOSE)) return;
    f.check_contents("the bytes of a closed file");
    f.forget_old();
    if (!ending_) open(f);
  }
};

// From its beginning to its end, in a directory that is empty before and after. Its counts are the answer.
struct world_counts {
  long steps, events, over, failures, rotations;
};
inline world_counts live(const std::string &dir, const call_dice &dice) {
  world_counts c{};
  {
    call_world w(dir, dice);
    while (c.steps < call_world::steps_most && !dice.over()) w.step(), ++c.steps;
    w.end();
    c.events = w.events, c.over = w.over, c.failures = w.failures, c.rotations = w.rotations();
  }
  for (std::size_t i = 0; i < call_world::files; ++i) ::unlink((dir + "/" + std::to_string(i)).c_str());
  return c;
}

} // namespace core
#endif

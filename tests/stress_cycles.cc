// SPDX-License-Identifier: BSD-2-Clause
// Event loops over files whose calls answer EAGAIN all the time, while background work is delayed, cut short and
// overtaken by other: each EAGAIN is followed by one event, none is lost, none comes unasked, contents are exact.
#include "modelled_file.hh"

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <sys/eventfd.h>

namespace {

using core::modelled_file;
using stress::require;
using clock_type = std::chrono::steady_clock;

constexpr int watchdog_ms = 5000; // for each single event

enum class form { descriptor, wake, notify };

// A port and how its loop hears of news.
class hearing {
 public:
  explicit hearing(form f) : form_(f) {
    ef_port_options o{};
    o.size = sizeof o;
    o.arg = this;
    if (f == form::wake) o.wake = poke;
    if (f == form::notify) o.notify = note;
    bell_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    port = ef_port_new(&o);
    require(port && bell_ >= 0, "a port");
  }
  ~hearing() {
    require(ef_port_free(port) == 0, "ef_port_free");
    ::close(bell_);
  }

  // Events there are, or, in ms at most, there will be.
  std::vector<ef_event> take(int ms, stress::random &dice) {
    pollfd q{form_ == form::descriptor ? ef_port_fd(port) : bell_, POLLIN, 0};
    ::poll(&q, 1, ms);
    std::vector<ef_event> all;
    if (form_ == form::notify) {
      std::uint64_t n;
      if (::read(bell_, &n, sizeof n) < 0) require(errno == EAGAIN, "the bell");
      std::lock_guard<std::mutex> hold(lock_);
      std::swap(all, inbox_);
    } else if (q.revents & POLLIN) { // no look without a word: the word itself is under test
      std::uint64_t n;
      if (form_ == form::wake) require(::read(bell_, &n, sizeof n) == sizeof n, "the bell");
      ef_event e[8];
      int most = 1 + static_cast<int>(dice.below(8)), got;
      do {
        got = ef_port_next(port, e, most);
        require(got >= 0 && got <= most, "ef_port_next");
        all.insert(all.end(), e, e + got);
      } while (got == most);
    }
    taken += all.size();
    return all;
  }
  // What was noted before a disarming was still welcome then.
  void forget(std::uint64_t number) {
    std::lock_guard<std::mutex> hold(lock_);
    taken += std::erase_if(inbox_, [&](const ef_event &e) { return modelled_file::number_of(e.data) == number; });
  }
  bool direct() const { return form_ == form::notify; }

  ef_port *port;
  std::uint64_t taken = 0;

 private:
  static void poke(void *arg) {
    std::uint64_t one = 1;
    if (::write(static_cast<hearing *>(arg)->bell_, &one, sizeof one) != sizeof one) stress::failed("the bell is full");
  }
  static void note(void *arg, const ef_event *e, int n) {
    auto *h = static_cast<hearing *>(arg);
    {
      std::lock_guard<std::mutex> hold(h->lock_);
      h->inbox_.insert(h->inbox_.end(), e, e + n);
    }
    poke(arg);
  }

  form form_;
  int bell_;
  std::mutex lock_;
  std::vector<ef_event> inbox_;
};

class event_loop {
 public:
  static constexpr int files = 8;

  event_loop(const std::string &dir, form f, std::uint64_t number) : ear_(f), dice_(number) {
    for (int i = 0; i < files; ++i) {
      std::string name = dir + "/" + std::to_string(number) + "." + std::to_string(i);
      all_[i] = std::make_unique<modelled_file>(ear_.port, name, static_cast<std::uint64_t>(i));
      all_[i]->reopen();
      since_[i] = clock_type::now();
    }
  }

  // Until so many promises were made and kept.
  std::uint64_t run(std::uint64_t cycles) {
    for (std::uint64_t i = 0; made() < cycles; ++i) {
      int k = static_cast<int>(dice_.below(files));
      if (all_[k]->waits != EF_CLOSE) act(k);
      if (dice_.below(4) == 0) listen(0);
      while (all_blocked()) listen(watchdog_ms);
      if (i % 1024 == 0) check_ages();
    }
    finish();
    return made();
  }

 private:
  std::uint64_t made() const {
    std::uint64_t n = 0;
    for (auto &f : all_) n += f->again;
    return n;
  }
  bool all_blocked() const {
    for (auto &f : all_)
      if (f->can_step()) return false;
    return true;
  }

  void act(int k) {
    modelled_file &f = *all_[k];
    std::uint64_t before = f.again;
    if (f.too_large() || dice_.below(400) == 0) {
      f.begin_close();
    } else if (dice_.below(200) == 0) {
      f.disarm();
      if (ear_.direct()) ear_.forget(static_cast<std::uint64_t>(k));
    } else {
      f.step();
    }
    if (f.again != before) since_[k] = clock_type::now();
  }

  void listen(int ms) {
    std::vector<ef_event> events = ear_.take(ms, dice_);
    if (events.empty() && ms) check_ages(); // a poke for what was taken back meanwhile is not an error
    for (const ef_event &e : events) {
      std::uint64_t k = modelled_file::number_of(e.data);
      require(k < files, "data of ours");
      modelled_file &f = *all_[k];
      if (ear_.direct() && f.waits == EF_CLOSE && !(e.events & EF_CLOSE)) continue; // on its way when it was closed
      f.check(e.fd == f.fd && e.data == f.tag(), "an event of this life of the file");
      f.told(e.events, e.error);
      if (!(e.events & EF_CLOSE)) continue;
      f.check_contents("the bytes of a closed file");
      if (!finishing_) f.reopen();
    }
  }

  void check_ages() {
    auto now = clock_type::now();
    for (int k = 0; k < files; ++k)
      if (all_[k]->waits) all_[k]->check(now - since_[k] < std::chrono::milliseconds(watchdog_ms), "no event is lost");
  }

  void finish() {
    finishing_ = true;
    for (int k = 0; k < files; ++k) {
      if (all_[k]->waits != EF_CLOSE) all_[k]->begin_close();
      since_[k] = clock_type::now();
    }
    auto waiting = [&] { return std::any_of(all_.begin(), all_.end(), [](auto &f) { return f->waits; }); };
    while (waiting()) listen(watchdog_ms);
    require(ear_.take(20, dice_).empty(), "nothing more");
    ef_port_counters c{};
    c.size = sizeof c;
    require(ef_port_stats(ear_.port, &c) == 0 && c.events == ear_.taken, "the port's own count");
    require(ef_drain(ear_.port, core::patience_ms) == 0, "ef_drain");
  }

  hearing ear_;
  stress::random dice_;
  std::array<std::unique_ptr<modelled_file>, files> all_;
  std::array<clock_type::time_point, files> since_;
  bool finishing_ = false;
};

// Two loops in two threads, each with a port and files of its own.
void cycle(form f) {
  for (long seed = 0, seeds = core::amount(24, 160) / 8; seed < seeds; ++seed)
    core::in_each_mode([&](const std::string &dir, const core::mode &m) {
      faulty::now.nowait_miss = 800;
      if (m.faults) faulty::now.delay = 200;
      std::uint64_t cycles = std::getenv("EFIO_LONG") ? 10000 : 800;
      std::atomic<std::uint64_t> made{0};
      stress::together(2, [&](int t, stress::random &) {
        made += event_loop(dir, f, static_cast<std::uint64_t>(100 * seed + t)).run(cycles / 2);
      });
      std::printf("    %llu cycles\n", static_cast<unsigned long long>(made.load()));
    });
}

void each_eagain_has_one_event_heard_through_a_descriptor(void **) { cycle(form::descriptor); }
void each_eagain_has_one_event_heard_through_a_wake(void **) { cycle(form::wake); }
void each_eagain_has_one_event_heard_directly(void **) { cycle(form::notify); }

} // namespace

int main(int, char **argv) {
  faulty::install();
  const CMUnitTest tests[] = {
      cmocka_unit_test(each_eagain_has_one_event_heard_through_a_descriptor),
      cmocka_unit_test(each_eagain_has_one_event_heard_through_a_wake),
      cmocka_unit_test(each_eagain_has_one_event_heard_directly),
  };
  return core::again_on_one_core(cmocka_run_group_tests(tests, nullptr, nullptr), argv);
}

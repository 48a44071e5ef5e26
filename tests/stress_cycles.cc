// SPDX-License-Identifier: BSD-2-Clause
// Event loops over files whose calls answer EAGAIN all the time, while background work is delayed, cut short and
// overtaken by other: each EAGAIN is followed by one event, none is lost, none comes unasked, contents are exact.
#include "hearing.hh"

#include <array>
#include <chrono>
#include <memory>

namespace {

using core::form;
using core::hearing;
using core::modelled_file;
using stress::require;
using clock_type = std::chrono::steady_clock;

constexpr int watchdog_ms = 5000; // for each single event

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
  for (long seed = 0, seeds = core::amount(3, 20); seed < seeds; ++seed)
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

// SPDX-License-Identifier: BSD-2-Clause
// An event loop whose disk hangs: how long its turns take, while it uses every call on a file there, and files on a
// disk that is well. For one source file of a program.
#ifndef EF_TESTS_FAULTS_FAULT_LOOP_HH
#define EF_TESTS_FAULTS_FAULT_LOOP_HH

#include "fault_disk.hh"

#include <memory>
#include <poll.h>
#include <sys/resource.h>
#include <thread>
#include <vector>

namespace disk {

using clock = std::chrono::steady_clock;

inline constexpr int gap_most_ms = 50, robbed_most_ms = 1000;
inline constexpr std::size_t budget = 256 * 1024;

inline double ms_since(clock::time_point t) {
  return std::chrono::duration<double, std::milli>(clock::now() - t).count();
}

// How late a thread comes that does nothing but sleep: so late may any, with the machine to blame.
class noise {
 public:
  noise() : thread_([this] { listen(); }) {}
  ~noise() {
    over_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  double worst_ms() const { return worst_.load(std::memory_order_relaxed); }

 private:
  void listen() {
    while (!over_.load(std::memory_order_relaxed)) {
      const auto began = clock::now();
      ::usleep(1000);
      worst_.store(std::max(worst_ms(), ms_since(began) - 1), std::memory_order_relaxed);
    }
  }
  std::atomic<double> worst_{0};
  std::atomic<bool> over_{false};
  std::thread thread_; // last: it uses the others
};

// How often this thread has given the processor away by itself: as whoever waits for a disk does.
inline long sleeps() {
  rusage u;
  stress::require(::getrusage(RUSAGE_THREAD, &u) == 0, "getrusage");
  return u.ru_nvcsw;
}

// A loop: turns with a timer of 2 ms, each of which uses every call on the file that hangs, and files that are well.
struct loop {
  written_file &hung;
  int reading; // a file of the same disk, or -1
  std::vector<std::unique_ptr<written_file>> well;
  disk::news news;
  noise machine;
  double gap_ms = 0;    // the longest turn in which it slept, and
  double robbed_ms = 0; // one in which it lost the processor, or found much to do
  int turns = 0, refused = 0;

  loop(written_file &h, int r) : hung(h), reading(r) {
    for (int i = 0; i < 3; ++i) well.push_back(std::make_unique<written_file>(healthy, "well" + std::to_string(i)));
  }

  void use_the_hung_one() {
    for (int i = 0; i < 40; ++i)
      if (hung.put(10000) < 0) {
        assert_int_equal(errno, EAGAIN);
        ++refused;
        break;
      }
    ef_flush(hung.fd);
    ef_sync(hung.fd);
    ef_ready(hung.fd);
    ef_advise(hung.fd, 0, 0, EF_PATTERN_RANDOM);
    hung.counters();
    struct stat st;
    ef_fstat(hung.fd, &st);
    char b[100];
    if (reading >= 0) (void)ef_read(reading, b, sizeof b);
  }
  void use_those_that_are_well() {
    for (auto &f : well) {
      assert_int_equal(f->put(100), 100);
      ef_sync(f->fd);
    }
  }
  void turn() {
    pollfd q{ef_port_fd(port), POLLIN, 0};
    ::poll(&q, 1, 2);
    const auto began = clock::now();
    const long before = sleeps();
    use_the_hung_one();
    use_those_that_are_well();
    news.take();
    ef_port_submit(port);
    double &longest = sleeps() != before ? gap_ms : robbed_ms;
    longest = std::max(longest, ms_since(began));
    ++turns;
  }
  void run(int ms) {
    for (const auto began = clock::now(); ms_since(began) < ms;) turn();
  }
  bool goes_on() const { return gap_ms < gap_most_ms + machine.worst_ms() && robbed_ms < robbed_most_ms; }
  void check(const char *what) {
    int synced = 0, least = 1 << 30;
    for (auto &f : well) synced += news.count(f->fd, EF_SYNC), least = std::min(least, news.count(f->fd, EF_SYNC));
    std::printf("# %s: %d turns, longest %.1f ms, without sleep %.1f (machine %.1f), refused %d, healthy syncs %d\n",
                what, turns, gap_ms, robbed_ms, machine.worst_ms(), refused, synced);
    assert_true(goes_on());
    assert_true(least >= 3); // others went on
  }
  void close_all() {
    for (auto &f : well) disk::close_whole(*f, healthy);
  }
};

inline ef_file_options small_budget() {
  ef_file_options o{};
  o.write_buffer_max = budget;
  return o;
}

} // namespace disk
#endif

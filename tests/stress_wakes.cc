// SPDX-License-Identifier: BSD-2-Clause
// Lost wake-ups, by number: reads that all miss, and nothing else. The loop sleeps on the port's descriptor, or on a
// word of its own that the wake function wakes, as often as it can: with one file each event is a sleep of the loop and
// one of the thread that reads, with more the events meet calls under way. EFIO_LONG=1: 10^8; EFIO_WAKES=n: so many,
// also on one core.
#include "core_stress.hh"
#include "stress.hh"

#include <efio.h>
#include <poll.h>

#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int watchdog_ms = 10000;
constexpr off_t bytes = off_t{64} << 20; // all of it a hole

using stress::require;

// One loop, its port and so many files. An event count of a single sleeper: a wake between the look and the sleep is
// seen by the futex.
class loop {
 public:
  loop(const std::string &path, int count, bool by_function, int engine) : files_(static_cast<std::size_t>(count)) {
    ef_port_options o{};
    o.size = sizeof o;
    o.wake = [](void *arg) {
      auto &word = *static_cast<std::atomic<int> *>(arg);
      word.fetch_add(1, std::memory_order_seq_cst);
      word.notify_one();
    };
    o.arg = &woken_;
    o.engine = engine;
    if (!by_function) o.wake = nullptr;
    port_ = ef_port_new(&o);
    require(port_, "a port");
    ef_file_options small{};
    small.size = sizeof small;
    small.read_ahead_max = 64 << 10;
    for (one &f : files_) {
      f.fd = ef_openat(port_, AT_FDCWD, path.c_str(), O_RDONLY, 0, &small);
      require(f.fd >= 0 && ef_watch(f.fd, 0, &f) == 0, "a file");
    }
    by_function_ = by_function;
  }
  long run(long goal, stress::random &dice) {
    std::size_t waiting = 0;
    while (events_ < goal) {
      for (one &f : files_)
        if (!f.waiting) waiting += misses(f, dice);
      waiting -= take(waiting == files_.size());
    }
    while (waiting) waiting -= take(true);
    for (one &f : files_) require(ef_close(f.fd) == 0, "close");
    require(ef_drain(port_, watchdog_ms) == 0, "drain");
    require(take(false) == 0 && events_ == eagains_, "no more events than were asked for");
    require(ef_port_free(port_) == 0, "the port is empty");
    return events_;
  }

 private:
  struct one {
    int fd = -1;
    bool waiting = false;
  };
  bool misses(one &f, stress::random &dice) {
    char b;
    const off_t to = static_cast<off_t>(dice.below(bytes / 4096)) * 4096;
    ssize_t r = ef_seek(f.fd, to, SEEK_SET);
    if (r >= 0) r = ef_read(f.fd, &b, 1);
    require(r == 1 || (r < 0 && errno == EAGAIN), "a byte or EAGAIN");
    if (r == 1) return false;
    ++eagains_;
    return f.waiting = true;
  }
  // No look without a word: the word itself is under test.
  bool word(bool all_wait) {
    if (by_function_) {
      if (all_wait) woken_.wait(heard_); // the runner's time limit is the watchdog
      return std::exchange(heard_, woken_.load()) != heard_;
    }
    pollfd q{ef_port_fd(port_), POLLIN, 0};
    const int n = ::poll(&q, 1, all_wait ? watchdog_ms : 0);
    require(n == 1 || !all_wait, "a wake-up was lost");
    return n == 1;
  }
  std::size_t take(bool all_wait) {
    sleeps += all_wait;
    if (!word(all_wait)) return 0;
    ef_event e[16];
    std::size_t taken = 0;
    int n;
    do {
      n = ef_port_next(port_, e, 16);
      for (int k = 0; k < n; ++k) {
        one &f = *static_cast<one *>(e[k].data);
        require(f.waiting && e[k].events == EF_READ && e[k].error == 0, "an event that somebody waits for");
        f.waiting = false;
      }
      taken += static_cast<std::size_t>(n);
    } while (n == 16);
    events_ += static_cast<long>(taken);
    return taken;
  }

 public:
  long sleeps = 0;

 private:
  std::vector<one> files_;
  ef_port *port_ = nullptr;
  bool by_function_ = false;
  std::atomic<int> woken_{0};
  int heard_ = 0;
  long eagains_ = 0, events_ = 0;
};
} // namespace

// The bytes themselves are not looked at; what the kernel would take to copy them is time for more wake-ups.
ssize_t read_nothing(int, const iovec *iov, int count, off_t) {
  ssize_t all = 0;
  for (int k = 0; k < count; ++k) all += static_cast<ssize_t>(iov[k].iov_len);
  return all;
}

int main(int, char **argv) {
  const std::string dir = core::directory();
  const std::string path = dir + "/hole";
  core::put(path, "");
  require(::truncate(path.c_str(), bytes) == 0, "a hole");
  faulty::install([](ef::sys_table &t) { t.preadv = read_nothing; });
  faulty::now.memory_shown = false;
  faulty::now.nowait_miss = 1024;
  const char *n = std::getenv("EFIO_WAKES");
  const long all = n ? std::atol(n) : core::amount(300'000, 100'000'000);
  stress::random dice(faulty::seed());
  struct {
    int files;
    const char *name;
    bool by_function;
    int engine;
    long part; // of 100: about as much time for each number of files
  } const ways[] = {{1, "a descriptor, threads", false, EF_ENGINE_THREADS, 3},
                    {1, "a wake function, threads", true, EF_ENGINE_THREADS, 3},
                    {1, "a descriptor, a ring", false, EF_ENGINE_AUTO, 2},
                    {4, "a descriptor, threads", false, EF_ENGINE_THREADS, 20},
                    {4, "a wake function, threads", true, EF_ENGINE_THREADS, 20},
                    {4, "a descriptor, a ring", false, EF_ENGINE_AUTO, 2},
                    {64, "a descriptor, threads", false, EF_ENGINE_THREADS, 24},
                    {64, "a wake function, threads", true, EF_ENGINE_THREADS, 24},
                    {64, "a descriptor, a ring", false, EF_ENGINE_AUTO, 2}};
  for (const auto &w : ways) {
    loop l(path, w.files, w.by_function, w.engine);
    const auto t = std::chrono::steady_clock::now();
    const long events = l.run(all / 100 * w.part, dice);
    std::printf("%d files, %s: %ld events for as many EAGAINs, %ld sleeps, %.2f us\n", w.files, w.name, events,
                l.sleeps, std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count() * 1e6 / events);
  }
  core::remove(dir);
  return core::again_on_one_core(0, argv);
}

// SPDX-License-Identifier: BSD-2-Clause
// Durable lines: each thread waits until its line is on stable storage before it writes the next one.
#include "harness.hh"

#include "histogram.hh"
#include "lines.hh"
#include "timing.hh"

#include <efio.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr int open_flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, wait_ms = 30'000;

// Returns from line() when the line is durable; any thread.
class durable_log {
 public:
  virtual ~durable_log() = default;
  virtual void line(const char *text, std::size_t n) = 0;
  virtual std::uint64_t finish() = 0; // the calls of fdatasync(2) it took
};

class efio_log final : public durable_log {
 public:
  explicit efio_log(const std::string &path) : fd_(ef_open(path.c_str(), open_flags, 0600)) {
    if (fd_ < 0 || ef_wait(fd_, EF_OPEN, wait_ms) != EF_OPEN) fail("ef_open: %s", std::strerror(errno));
  }
  void line(const char *text, std::size_t n) override {
    if (ef_write(fd_, text, n) != static_cast<ssize_t>(n)) fail("ef_write: %s", std::strerror(errno));
    if (ef_wait(fd_, EF_SYNC, wait_ms) != EF_SYNC) fail("ef_wait: %s", std::strerror(errno));
  }
  std::uint64_t finish() override {
    ef_file_counters c{};
    c.size = sizeof c;
    if (ef_file_stats(fd_, &c) < 0 || c.synced != c.accepted) fail("lines are not durable");
    if (ef_close(fd_) < 0 || ef_drain(nullptr, wait_ms) < 0) fail("ef_close: %s", std::strerror(errno));
    return c.syncs;
  }

 private:
  int fd_;
};

class descriptor_log : public durable_log {
 public:
  explicit descriptor_log(const std::string &path) : fd_(open(path.c_str(), open_flags | O_APPEND, 0600)) {
    if (fd_ < 0) fail("open: %s", std::strerror(errno));
  }
  ~descriptor_log() override { close(fd_); }
  std::uint64_t finish() override { return syncs_.load(std::memory_order_relaxed); } // the threads have ended

 protected:
  void write_durably(const char *text, std::size_t n) {
    if (write(fd_, text, n) != static_cast<ssize_t>(n)) fail("write: %s", std::strerror(errno));
    if (fdatasync(fd_) != 0) fail("fdatasync: %s", std::strerror(errno));
    syncs_.fetch_add(1, std::memory_order_relaxed); // only counted
  }

 private:
  int fd_;
  std::atomic<std::uint64_t> syncs_{0};
};

class each_log final : public descriptor_log {
 public:
  using descriptor_log::descriptor_log;
  void line(const char *text, std::size_t n) override { write_durably(text, n); }
};

// Group commit by hand: whoever finds nobody writing writes for all who have come, once.
class group_log final : public descriptor_log {
 public:
  using descriptor_log::descriptor_log;
  void line(const char *text, std::size_t n) override {
    std::unique_lock hold(mutex_);
    coming_.insert(coming_.end(), text, text + n);
    const std::uint64_t mine = group_;
    while (done_ <= mine)
      if (leading_)
        over_.wait(hold);
      else
        lead(&hold);
  }

 private:
  void lead(std::unique_lock<std::mutex> *hold) {
    leading_ = true;
    writing_.swap(coming_);
    std::uint64_t group = group_++;
    hold->unlock();
    write_durably(writing_.data(), writing_.size());
    hold->lock();
    writing_.clear();
    done_ = group + 1;
    leading_ = false;
    over_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable over_;
  std::vector<char> coming_, writing_;
  std::uint64_t group_ = 0, done_ = 0; // the group that lines join now; those below are durable
  bool leading_ = false;
};

template<class log> std::unique_ptr<durable_log> open_log(const std::string &path) {
  return std::make_unique<log>(path);
}

struct log_kind {
  const char *name;
  std::unique_ptr<durable_log> (*open)(const std::string &path);
};

const log_kind by_efio{"ef_write, ef_wait", open_log<efio_log>},
    by_each{"write(2), fdatasync(2) each", open_log<each_log>}, by_group{"group commit by hand", open_log<group_log>};

// What one thread has done.
struct durable_thread {
  std::size_t lines = 0;
  histogram latency;
};

void write_lines(durable_log *log, int thread, std::int64_t end, durable_thread *out) {
  numbered_line line(thread);
  for (std::int64_t now = now_ns(); now < end;) {
    log->line(line.number(out->lines++), line_length());
    std::int64_t before = now;
    now = now_ns();
    out->latency.add(now - before);
  }
}

void measure(const log_kind &kind, const std::string &path, int threads, double seconds, double *values) {
  std::unique_ptr<durable_log> log = kind.open(path);
  std::vector<durable_thread> done(static_cast<std::size_t>(threads));
  std::vector<std::thread> running;
  usage used(RUSAGE_SELF);
  std::int64_t begin = now_ns(), end = begin + static_cast<std::int64_t>(seconds * 1e9);
  for (int t = 0; t < threads; ++t)
    running.emplace_back(write_lines, log.get(), t, end, &done[static_cast<std::size_t>(t)]);
  for (std::thread &t : running) t.join();
  double took = static_cast<double>(now_ns() - begin) / 1e9, cpu = used.cpu_seconds(), all = 0;
  double syncs = static_cast<double>(log->finish());
  log.reset();
  histogram latency;
  std::vector<std::size_t> written(done.size());
  std::string wrong = check_numbered(path, 0, &written);
  if (!wrong.empty()) fail("%s", wrong.c_str());
  for (std::size_t t = 0; t < done.size(); ++t) {
    if (written[t] != done[t].lines) fail("%zu lines of a thread instead of %zu", written[t], done[t].lines);
    latency.add(done[t].latency);
    all += static_cast<double>(done[t].lines);
  }
  unlink(path.c_str());
  values[0] = all / took;
  values[1] = latency.us(0.5) / 1e3;
  values[2] = latency.us(0.99) / 1e3;
  values[3] = all / syncs;
  values[4] = cpu * 1e6 / all;
}

row make_row(const options &o, int threads) {
  row r{"durable-" + std::to_string(threads),
        std::to_string(threads) + (threads == 1 ? " thread waits" : " threads, each waits") +
            " until its line is durable",
        {{"lines/s", 0}, {"p50 ms", 2}, {"p99 ms", 2, false}, {"lines/fdatasync", 1}, {"CPU us/line", 1}},
        {},
        threads == 1 ? by_each.name : by_group.name};
  for (const log_kind *kind : {&by_efio, &by_each, &by_group})
    r.variants.push_back({kind->name, [=, path = o.directory + "/lines"](double seconds, double *values) {
                            measure(*kind, path, threads, seconds, values);
                          }});
  r.comparisons = {{by_efio.name, by_each.name, {0, 4}}, {by_efio.name, by_group.name, {0, 4}}};
  r.seconds = o.loop_seconds;
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  for (int threads : {1, 8, 64}) rows->push_back(make_row(o, threads));
}

const family durable(24, add_rows);

} // namespace
} // namespace bench

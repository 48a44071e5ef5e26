// SPDX-License-Identifier: BSD-2-Clause
// What handing over one 100-byte line costs the caller: hot, with cold caches, and call by call.
#include "harness.hh"

#include "files.hh"
#include "lines.hh"
#include "timing.hh"
#include "writers.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>

namespace bench {
namespace {

constexpr int hot_burst = 2000, cold_burst = 32, tail_burst = 1000;
constexpr long hot_pause_ns = 1'500'000, tail_pause_ns = 600'000;
constexpr std::size_t pollution_bytes = 8 << 20; // more than a second-level cache holds

const writer_kind *const peers[] = {&memcpy_small,   &memcpy_large, &efio_writer,        &write_each,
                                    &stdio_unlocked, &two_buffers,  &spdlog_sync_single, &spdlog_async};

[[gnu::noinline]] void no_line(void *lane, const char *text, std::size_t) {
  keep(lane);
  keep(text);
}

// One writer and the lines of one thread.
class caller {
 public:
  caller(const writer_kind &kind, const std::string &path)
      : kind_(kind), path_(path), out_(kind.open(path, 1)), line_(out_->line), lane_(out_->lane(0)) {}

  void one() { line_(lane_, lines_.at(count_++), length_); }

  std::int64_t burst(int lines) {
    std::int64_t begin = now_ns();
    for (int i = 0; i < lines; ++i) one();
    return now_ns() - begin;
  }

  // Ticks of single calls; with `nothing` of the timer around an empty call.
  void timed(int lines, bool nothing, std::vector<std::uint32_t> *ticks) {
    line_fn *line = nothing ? no_line : line_;
    for (int i = 0; i < lines; ++i) {
      const char *text = lines_.at(nothing ? 0 : count_++);
      std::uint64_t before = ticks_before();
      line(lane_, text, length_);
      ticks->push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(ticks_after() - before, UINT32_MAX)));
    }
  }

  // Every line is in the file, or the measurement is worth nothing.
  void check() {
    out_->finish();
    out_.reset();
    if (!kind_.file) return;
    std::string wrong = check_lines(path_, {count_}, kind_.heading);
    unlink(path_.c_str());
    if (!wrong.empty()) fail("%s", wrong.c_str());
  }
  std::uint64_t waits() { return out_->waits(); }

 private:
  const writer_kind &kind_;
  std::string path_;
  std::unique_ptr<writer> out_;
  line_fn *line_;
  void *lane_;
  line_cycle lines_{0};
  std::size_t count_ = 0, length_ = line_length();
};

void report_bursts(caller *c, std::vector<double> bursts, int lines, double *values) {
  double all = std::accumulate(bursts.begin(), bursts.end(), 0.0);
  values[0] = summarize(bursts).median / lines;
  values[1] = all / static_cast<double>(bursts.size()) / lines;
  values[2] = static_cast<double>(c->waits());
  c->check();
}

void measure_hot(const writer_kind &kind, const std::string &path, double seconds, double *values) {
  caller c(kind, path);
  for (int i = 0; i < 5; ++i) {
    c.burst(hot_burst);
    pause_ns(hot_pause_ns);
  }
  std::vector<double> bursts;
  for (std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9); now_ns() < end;) {
    bursts.push_back(static_cast<double>(c.burst(hot_burst)));
    pause_ns(hot_pause_ns);
  }
  report_bursts(&c, std::move(bursts), hot_burst, values);
}

void measure_cold(const writer_kind &kind, const std::string &path, double seconds, double *values) {
  caller c(kind, path);
  c.burst(hot_burst);
  std::vector<char> other(pollution_bytes);
  std::vector<double> bursts;
  for (std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9); now_ns() < end;) {
    for (std::size_t i = 0; i < other.size(); i += 64) ++other[i];
    keep(other.data());
    bursts.push_back(static_cast<double>(c.burst(cold_burst)));
  }
  report_bursts(&c, std::move(bursts), cold_burst, values);
}

// What the machine does to a caller that has nothing to wait for while another thread writes to the disk.
class disk_noise {
 public:
  explicit disk_noise(const std::string &path)
      : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)), thread_([this] { run(); }) {
    unlink(path.c_str());
  }
  ~disk_noise() {
    stop_.store(true, std::memory_order_relaxed); // nothing but the thread's end depends on it
    thread_.join();
    close(fd_);
  }

 private:
  void run() {
    std::vector<char> block(65536);
    while (!stop_.load(std::memory_order_relaxed)) { // pairs with the destructor
      if (write(fd_, block.data(), block.size()) < 0) return;
      pause_ns(350'000);
    }
  }
  int fd_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

enum class tail_mode { line, line_beside_disk, timer };

void measure_tail(const writer_kind &kind, const std::string &path, tail_mode mode, double seconds, double *values) {
  std::unique_ptr<disk_noise> noise;
  if (mode == tail_mode::line_beside_disk) noise = std::make_unique<disk_noise>(path + ".noise");
  caller c(kind, path);
  double tick = ns_per_tick();
  std::vector<std::uint32_t> own, calls;
  own.resize(20'000); // touched before it is needed
  own.clear();
  c.timed(20'000, true, &own);
  std::sort(own.begin(), own.end());
  c.burst(hot_burst);
  const auto wanted = std::max<std::size_t>(10'000, static_cast<std::size_t>(seconds * 1e6));
  calls.resize(wanted + tail_burst);
  calls.clear();
  while (calls.size() < wanted) {
    c.timed(tail_burst, mode == tail_mode::timer, &calls);
    pause_ns(tail_pause_ns);
  }
  double timer = mode == tail_mode::timer ? 0 : own[own.size() / 2];
  std::vector<double> ns;
  for (std::uint32_t t : calls) ns.push_back(std::max(0.0, (t - timer) * tick));
  std::sort(ns.begin(), ns.end());
  const double shares[] = {0.5, 0.99, 0.999, 0.9999, 1};
  for (int i = 0; i < 5; ++i) values[i] = percentile(ns, shares[i]);
  values[5] = static_cast<double>(c.waits());
  c.check();
}

using burst_fn = void(const writer_kind &, const std::string &, double, double *);

row burst_row(const options &o, const char *name, const char *title, burst_fn *measure) {
  row r{name, title, {{"ns/line", 1}, {"mean ns/line", 1}, {"waits", 0, false}}, {}, memcpy_small.name};
  for (const writer_kind *kind : peers)
    r.variants.push_back({kind->name, [=, path = o.directory + "/lines"](double seconds, double *values) {
                            measure(*kind, path, seconds, values);
                          }});
  return r;
}

row tail_row(const options &o) {
  row r{"write-tail",
        "single calls, 1,000 lines and a pause in turn, a flusher writing meanwhile; the timer's median is subtracted",
        {{"p50 ns", 0, false},
         {"p99 ns", 0, false},
         {"p99.9 ns", 0},
         {"p99.99 ns", 0, false},
         {"max ns", 0},
         {"waits", 0, false}},
        {},
        memcpy_small.name,
        2};
  auto add = [&](const std::string &name, const writer_kind *kind, tail_mode mode) {
    r.variants.push_back({name, [=, path = o.directory + "/lines"](double seconds, double *values) {
                            measure_tail(*kind, path, mode, seconds, values);
                          }});
  };
  add("the timer alone", &memcpy_small, tail_mode::timer);
  for (const writer_kind *kind : peers) add(kind->name, kind, tail_mode::line);
  add("memcpy, a thread writes to disk", &memcpy_small, tail_mode::line_beside_disk);
  r.goals.push_back({"one ef_write, ns at p99.9", efio_writer.name, "", 2, true, 1000});
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  const std::string me = efio_writer.name, limit = memcpy_small.name;
  rows->push_back(
      burst_row(o, "write-hot", "a 100-byte line: bursts of 2,000, pauses in which the queue empties", measure_hot));
  rows->back().goals.push_back({"ef_write of 100 bytes, hot: times memcpy", me, limit, 0, true, 2.5});
  rows->push_back(
      burst_row(o, "write-cold", "a 100-byte line: bursts of 32, 8 MiB touched between them", measure_cold));
  rows->back().goals.push_back({"ef_write of 100 bytes, cold: times memcpy", me, limit, 0, true, 2.5});
  rows->push_back(tail_row(o));
}

const family write_calls(10, add_rows);

} // namespace
} // namespace bench

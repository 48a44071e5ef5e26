// SPDX-License-Identifier: BSD-2-Clause
// What handing over one 100-byte line costs each of 1, 2 and 4 threads that write into one file: in bursts, and call by
// call.
#include "harness.hh"

#include "histogram.hh"
#include "lines.hh"
#include "timing.hh"
#include "writers.hh"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr int burst = 500; // of lines: 50 KB, below what wakes a flusher of efio or fills a queue of spdlog
constexpr long pause = 500'000;
constexpr int timer_samples = 20'000;
constexpr std::size_t calls_least = 10'000;

[[gnu::noinline]] void no_line(void *lane, const char *text, std::size_t) {
  keep(lane);
  keep(text);
}

// In ticks: a call's cost less that of reading the timer around an empty call.
std::uint64_t timed(line_fn *line, void *lane, const char *text, std::size_t length) {
  std::uint64_t before = ticks_before();
  line(lane, text, length);
  return ticks_after() - before;
}

double timer_median() {
  std::vector<double> ticks;
  for (int i = 0; i < timer_samples; ++i)
    ticks.push_back(static_cast<double>(timed(no_line, nullptr, "", line_length())));
  return summarize(std::move(ticks)).median;
}

struct clock_of_calls {
  double ns_per_tick, own_ticks;
  std::int64_t ns(std::uint64_t ticks) const {
    return static_cast<std::int64_t>((static_cast<double>(ticks) - own_ticks) * ns_per_tick);
  }
};

// One thread's: single calls and a burst in turn, a pause behind each, in which queues empty.
struct caller_thread {
  std::size_t lines = 0;
  histogram calls;
  std::vector<double> bursts;

  void run(writer *out, int thread, const clock_of_calls &clock, std::int64_t end) {
    line_cycle text(thread);
    void *lane = out->lane(thread);
    line_fn *line = out->line;
    std::size_t length = line_length();
    while (now_ns() < end || calls.count() < calls_least) {
      for (int i = 0; i < burst; ++i) calls.add(clock.ns(timed(line, lane, text.at(lines++), length)));
      pause_ns(pause);
      std::int64_t begin = now_ns();
      for (int i = 0; i < burst; ++i) line(lane, text.at(lines++), length);
      bursts.push_back(static_cast<double>(now_ns() - begin) / burst);
      pause_ns(pause);
    }
  }
};

void measure(const writer_kind &kind, const std::string &path, int threads, double seconds, double *values) {
  const clock_of_calls clock{ns_per_tick(), timer_median()};
  std::unique_ptr<writer> out = kind.open(path, threads);
  std::vector<caller_thread> all(static_cast<std::size_t>(threads));
  std::vector<std::thread> running;
  const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
  for (int t = 0; t < threads; ++t)
    running.emplace_back([&, t] { all[static_cast<std::size_t>(t)].run(out.get(), t, clock, end); });
  for (std::thread &t : running) t.join();
  values[6] = static_cast<double>(out->waits());
  out->finish();
  out.reset();
  histogram calls;
  std::vector<double> bursts;
  std::vector<std::size_t> lines;
  for (const caller_thread &t : all) {
    calls.add(t.calls);
    bursts.insert(bursts.end(), t.bursts.begin(), t.bursts.end());
    lines.push_back(t.lines);
  }
  std::string wrong = kind.file ? check_lines(path, lines, kind.heading) : "";
  unlink(path.c_str());
  if (!wrong.empty()) fail("%s", wrong.c_str());
  values[0] = summarize(std::move(bursts)).median;
  const double shares[] = {0.5, 0.99, 0.999, 0.9999, 1};
  for (int i = 0; i < 5; ++i) values[1 + i] = calls.us(shares[i]) * 1e3;
}

row make_row(const options &o, int threads) {
  std::string n = std::to_string(threads);
  row r{"call-" + n,
        n + (threads == 1 ? " thread" : " threads, one file") +
            ": lines in bursts of 500 with pauses, in turn with single calls; the timer's own time is subtracted",
        {{"burst ns/line", 1},
         {"p50 ns", 0, false},
         {"p99 ns", 0, false},
         {"p99.9 ns", 0},
         {"p99.99 ns", 0, false},
         {"max ns", 0, false},
         {"waits", 0, false}},
        {},
        memcpy_small.name};
  std::vector<const writer_kind *> kinds = file_writers(threads);
  kinds.insert(kinds.begin(), &memcpy_small);
  for (const writer_kind *kind : kinds)
    r.variants.push_back({kind->name, [=, path = o.directory + "/lines"](double seconds, double *values) {
                            measure(*kind, path, threads, seconds, values);
                          }});
  r.comparisons = {{efio_writer.name, (threads == 1 ? stdio_unlocked : stdio_locked).name, {0, 3}},
                   {efio_writer.name, spdlog_async.name, {0, 3}}};
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  for (int threads : {1, 2, 4}) rows->push_back(make_row(o, threads));
}

const family write_threads(12, add_rows);

} // namespace
} // namespace bench

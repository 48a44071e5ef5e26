// SPDX-License-Identifier: BSD-2-Clause
// A hundred lines a second: into one file, and into each of a thousand. What writers take that have little to do.
#include "harness.hh"

#include "lines.hh"
#include "memory.hh"
#include "timing.hh"
#include "writers.hh"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace bench {
namespace {

constexpr int lines_a_second = 100, files_most = 1000;
constexpr std::int64_t tick_ns = 1'000'000'000 / lines_a_second;
constexpr unsigned long timer_slack_ns = 1;
constexpr double seconds_least = 1;

void sleep_until(std::int64_t when) {
  timespec t{when / 1'000'000'000, when % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) != 0) {}
}

// Files that get a line each at every tick, by one thread.
class trickle {
 public:
  trickle(const writer_kind &kind, const std::string &directory, int files) : kind_(kind) {
    for (int i = 0; i < files; ++i) {
      paths_.push_back(directory + "/lines" + std::to_string(i));
      files_.push_back(kind.open(paths_.back(), 1));
    }
  }

  void run(double seconds, double *values) {
    usage all(RUSAGE_SELF), caller(RUSAGE_THREAD);
    const std::int64_t begin = now_ns();
    const auto ticks = static_cast<std::size_t>(seconds * lines_a_second);
    while (lines_ < ticks) {
      for (std::unique_ptr<writer> &w : files_) w->line(w->lane(0), text_.at(lines_), line_length());
      sleep_until(begin + static_cast<std::int64_t>(++lines_) * tick_ns);
    }
    double took = static_cast<double>(now_ns() - begin) / 1e9;
    values[0] = all.cpu_seconds() / took * 100;
    values[1] = (all.voluntary() - caller.voluntary()) / took;
    values[2] = static_cast<double>(lines_ * files_.size()) / took / 1e3;
  }

  // Every line is in its file.
  void check() {
    for (std::unique_ptr<writer> &w : files_) w->finish();
    files_.clear();
    for (const std::string &path : paths_) {
      std::string wrong = kind_.file ? check_lines(path, {lines_}, kind_.heading) : "";
      unlink(path.c_str());
      if (!wrong.empty()) fail("%s", wrong.c_str());
    }
  }

 private:
  const writer_kind &kind_;
  std::vector<std::string> paths_;
  std::vector<std::unique_ptr<writer>> files_;
  line_cycle text_{0};
  std::size_t lines_ = 0;
};

void measure(const writer_kind &kind, const std::string &directory, int files, double seconds, double *values) {
  rlimit most;
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  if (most.rlim_max < files_most + 100u || setrlimit(RLIMIT_NOFILE, &most) != 0) skip("too few descriptors");
  prctl(PR_SET_TIMERSLACK, timer_slack_ns);
  double before = status_kb("VmRSS:");
  trickle t(kind, directory, files);
  t.run(seconds, values);
  values[3] = (status_kb("VmHWM:") - before) / 1024;
  t.check();
}

row make_row(const options &o, const char *name, const char *title, int files,
             const std::vector<const writer_kind *> &kinds) {
  row r{name,
        title,
        {{"% of a core", 2}, {"wake-ups/s", 1}, {"1000 lines/s", 1, false}, {"growth MiB", 1}},
        {},
        kinds[0]->name};
  for (const writer_kind *kind : kinds)
    r.variants.push_back({kind->name, [=, directory = o.directory](double seconds, double *values) {
                            measure(*kind, directory, files, seconds, values);
                          }});
  r.seconds = std::max(seconds_least, o.idle_seconds / 5);
  r.warm_up = false;
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  std::vector<const writer_kind *> kinds = file_writers(1);
  kinds.insert(kinds.begin(), &memcpy_small);
  rows->push_back(
      make_row(o, "trickle-1", "100 lines/s into one file; wake-ups: of threads that are not the caller", 1, kinds));
  // Those that need neither a thread nor a process for each file. The buffers of stdio and its like wait until they are
  // full, efio's lines at most 200 ms.
  rows->push_back(make_row(o, "trickle-1000", "100 lines/s into each of 1,000 files, by one thread", files_most,
                           {&write_each, &efio_writer, &efio_slow, &write_blocks, &stdio_unlocked, &stream_writer,
                            &spdlog_sync_single, &log4cplus_file}));
}

const family trickles(26, add_rows);

} // namespace
} // namespace bench

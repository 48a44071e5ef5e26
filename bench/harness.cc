// SPDX-License-Identifier: BSD-2-Clause
// Measuring variants in turn, each in a child process, and the statistics of it.
#include "harness.hh"

#include "timing.hh"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace bench {
namespace {

constexpr int failed_status = 1, skipped_status = 77;
constexpr unsigned child_seconds_max = 60;
constexpr double warm_up_share = 0.25;

volatile std::sig_atomic_t interruption = 0;

// What a child hands back.
struct shared_result {
  double values[windows_max * metrics_max];
  char reason[256];
};

shared_result *shared() {
  static void *memory = mmap(nullptr, sizeof(shared_result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return static_cast<shared_result *>(memory == MAP_FAILED ? nullptr : memory);
}

struct placed {
  int place;
  family_fn make;
};

std::vector<placed> &families() {
  static std::vector<placed> all;
  return all;
}

[[noreturn]] void end_child(int status, const char *format, std::va_list args) {
  std::vsnprintf(shared()->reason, sizeof shared()->reason, format, args);
  _exit(status);
}

[[noreturn]] void be_child(const measure_fn &measure, double seconds) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  alarm(child_seconds_max);
  measure(seconds, shared()->values);
  _exit(0);
}

std::string describe(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "did not end in a minute";
  if (WIFSIGNALED(status)) return std::string("died: ") + strsignal(WTERMSIG(status));
  return shared()->reason[0] ? shared()->reason : "failed";
}

struct ending {
  bool good, skipped;
  std::string reason;
};

ending in_child(const measure_fn &measure, double seconds) {
  if (!shared()) return {false, false, "no memory"};
  *shared() = {};
  std::fflush(nullptr); // or the child's copy would be written as well
  pid_t child = fork();
  if (child < 0) return {false, false, "no process"};
  if (child == 0) be_child(measure, seconds);
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {true, false, ""};
  return {false, WIFEXITED(status) && WEXITSTATUS(status) == skipped_status, describe(status)};
}

void measure_once(const row &r, const variant &v, double seconds, bool count, outcome *o) {
  if (interrupted() || !o->skipped.empty() || !o->failed.empty()) return;
  ending e = in_child(v.measure, seconds);
  if (interrupted()) return;
  if (!e.good) {
    (e.skipped ? o->skipped : o->failed) = e.reason;
    o->samples.assign(r.metrics.size(), {}); // a variant has all its samples or none
  }
  if (!e.good || !count) return;
  for (int w = 0; w < r.windows; ++w)
    for (std::size_t m = 0; m < r.metrics.size(); ++m)
      o->samples[m].push_back(shared()->values[static_cast<std::size_t>(w) * metrics_max + m]);
}

void on_interruption(int) { interruption = 1; }

} // namespace

family::family(int place, family_fn make) { families().push_back({place, make}); }

std::vector<row> all_rows(const options &o) {
  std::vector<placed> &all = families();
  std::stable_sort(all.begin(), all.end(), [](const placed &a, const placed &b) { return a.place < b.place; });
  std::vector<row> rows;
  for (const placed &f : all) f.make(o, &rows);
  return rows;
}

row_result run_row(const row &r, const options &o) {
  row_result result{&r, {}, 0};
  std::int64_t began = now_ns();
  for (const variant &v : r.variants)
    result.outcomes.push_back({v.name, std::vector<std::vector<double>>(r.metrics.size()), "", ""});
  if (r.prepare) r.prepare();
  int rounds = r.windows > 1 ? 1 : o.repetitions;
  double seconds = r.seconds > 0 ? r.seconds : o.seconds;
  for (int round = r.warm_up ? -1 : 0; round < rounds; ++round)
    for (std::size_t v = 0; v < r.variants.size(); ++v)
      measure_once(r, r.variants[v], seconds * (round < 0 ? warm_up_share : 1), round >= 0, &result.outcomes[v]);
  if (r.finish) r.finish();
  result.seconds = static_cast<double>(now_ns() - began) / 1e9;
  return result;
}

bool interrupted() { return interruption != 0; }

void watch_for_interruption() {
  signal(SIGINT, on_interruption);
  signal(SIGTERM, on_interruption);
}

void fail(const char *format, ...) {
  std::va_list args;
  va_start(args, format);
  end_child(failed_status, format, args);
}

void skip(const char *format, ...) {
  std::va_list args;
  va_start(args, format);
  end_child(skipped_status, format, args);
}

double percentile(const std::vector<double> &sorted, double share) {
  double place = share * static_cast<double>(sorted.size() - 1);
  auto below = static_cast<std::size_t>(place);
  std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

summary summarize(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {percentile(samples, 0.5), samples.front(), samples.back(), percentile(samples, 0.25),
          percentile(samples, 0.75)};
}

const outcome *find(const row_result &r, const std::string &variant) {
  for (const outcome &o : r.outcomes)
    if (o.name == variant) return &o;
  return nullptr;
}

std::vector<double> ratios(const outcome &o, const outcome &reference, int metric) {
  const auto &a = o.samples[static_cast<std::size_t>(metric)], &b = reference.samples[static_cast<std::size_t>(metric)];
  std::vector<double> all;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (b[i] != 0) all.push_back(a[i] / b[i]);
  return all;
}

} // namespace bench

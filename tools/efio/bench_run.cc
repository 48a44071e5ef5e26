// SPDX-License-Identifier: BSD-2-Clause
// The list of tests, and the order of rounds: who goes first changes, so that neither always finds what the other left.
#include "bench_run.hh"

#include <sys/resource.h>
#include <time.h>

namespace tool {
namespace {

double cpu_seconds() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// Why the test cannot be made with these files, or "".
std::string impossible(const bench_test &t, const bench_files &files) {
  if (t.writes && files.write_name().empty()) return "a file was given: nothing is written";
  return t.cold ? files.make_cold() : "";
}

std::string run_round(outcome *o, int which, const bench_files &files, double seconds, int round) {
  std::string error = o->of->cold ? files.make_cold() : "";
  if (!error.empty()) return error;
  std::uint64_t seed = static_cast<std::uint64_t>(round) * 2 + static_cast<std::uint64_t>(which) + 1;
  bench_round r(files, seconds, seed, &o->results[which]);
  error = o->of->variants[which].measure(r);
  return error.empty() ? "" : std::string(o->of->variants[which].who) + ": " + error;
}

} // namespace

std::int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

double clock_ns() {
  constexpr int calls = 100'000;
  std::int64_t before = now_ns();
  for (int i = 0; i < calls; ++i) (void)now_ns();
  return static_cast<double>(now_ns() - before) / calls;
}

void bench_round::begin() {
  cpu_ = cpu_seconds();
  began_ = now_ns();
  deadline_ = began_ + static_cast<std::int64_t>(seconds_ * 1e9);
}

void bench_round::add(const result &part) {
  out_->latency.add(part.latency);
  out_->bytes += part.bytes;
}

void bench_round::end() {
  out_->seconds += static_cast<double>(now_ns() - began_) / 1e9;
  out_->cpu_seconds += cpu_seconds() - cpu_;
}

const std::vector<bench_test> &bench_tests() {
  static const std::vector<bench_test> all = {
      {"read-cached",
       "4 KiB at random places, in memory",
       false,
       false,
       {{"ef_pread", read_cached_efio}, {"pread", read_cached_plain}}},
      {"read-cold",
       "4 KiB at random places, from disk, one at a time",
       false,
       true,
       {{"ef_pread", read_cold_efio}, {"pread", read_cold_plain}}},
      {"read-cold-64",
       "4 KiB at random places, from disk, 64 at a time",
       false,
       true,
       {{"ef_pread", read_deep_efio}, {"pread in 64 threads", read_deep_plain}}},
      {"read-sequential",
       "64 KiB one after the other, from disk",
       false,
       true,
       {{"ef_read", read_sequential_efio}, {"read", read_sequential_plain}}},
      {"write-line",
       "100 bytes appended, until all are written",
       true,
       false,
       {{"ef_write", write_line_efio}, {"write", write_line_plain}}},
      {"write-sequential",
       "64 KiB one after the other, until all are on disk",
       true,
       false,
       {{"ef_write", write_sequential_efio}, {"write", write_sequential_plain}}},
      {"sync", "4 KiB appended and made durable", true, false, {{"ef_sync", sync_efio}, {"fdatasync", sync_plain}}},
  };
  return all;
}

std::vector<outcome> run_tests(const std::vector<const bench_test *> &chosen, const bench_files &files, double seconds,
                               int rounds, const before_fn &before) {
  std::vector<outcome> all(chosen.size());
  double steps = static_cast<double>(chosen.size()) * rounds * 2, step = 0;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    outcome &o = all[i];
    o.of = chosen[i];
    o.skipped = impossible(*o.of, files);
    for (int turn = 0; turn < rounds * 2; ++turn, ++step) {
      if (!o.skipped.empty() || !o.failed.empty()) continue;
      int round = turn / 2, which = (turn + round) % 2;
      before(step / steps, std::string(o.of->name) + ": " + o.of->variants[which].who);
      o.failed = run_round(&o, which, files, seconds / rounds, round);
    }
  }
  return all;
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// What event loops make of files: one cached read at a time, and a timer beside a cold file.
#include "loops.hh"

#include <efio.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace bench {

std::vector<cached_program> &cached_programs() {
  static std::vector<cached_program> all;
  return all;
}

std::vector<timed_program> &timed_programs() {
  static std::vector<timed_program> all;
  return all;
}

const timed_program *find_timed(const std::string &loop, const std::string &name) {
  for (const timed_program &p : timed_programs())
    if (p.loop == loop && p.name == name) return &p;
  return nullptr;
}

timed_run run_timed(const timed_program &p, const std::string &path, bool cold, std::size_t record) {
  if (cold && !make_cold(path)) skip("the file stays in memory (a file system without a disk?)");
  timed_run run(path, record);
  p.run(path, &run);
  run.finish();
  if (p.reads && !run.right()) fail("the bytes are not those of the file");
  return run;
}

namespace {

constexpr std::size_t cached_bytes = 16 << 20;
constexpr double late_ms_max = 5;

// The call by itself, as the loop's thread makes it.
void run_call(const std::string &path, cached_run *r) {
  int fd = ef_open(path.c_str(), O_RDONLY);
  if (fd < 0 || ef_wait(fd, EF_OPEN, 10'000) != EF_OPEN) fail("ef_open: %s", std::strerror(errno));
  auto to = std::make_unique<char[]>(loop_record);
  for (; !r->over();) {
    ssize_t n = ef_read(fd, to.get(), loop_record);
    keep(to[0]);
    if (n < 0) fail("ef_read: %s", std::strerror(errno)); // also EAGAIN: the file is cached
    n > 0 ? r->count() : static_cast<void>(ef_seek(fd, 0, SEEK_SET));
  }
}

row cached_row(const options &o) {
  const char *call = "ef_read alone", *peer = "libuv, uv_fs_read";
  row r{"loop-read",
        "one cached 4 KiB read at a time through an event loop",
        {{"us/read", 2}, {"switches/read, loop", 3}, {"switches/read, all", 3}, {"cpu us/read", 2}},
        {},
        peer};
  const std::string path = o.directory + "/cached";
  auto add = [&](const cached_program &p) {
    r.variants.push_back({p.name, [=](double seconds, double *values) {
                            cached_run run(seconds);
                            p.run(path, &run);
                            run.report(values);
                          }});
  };
  add({call, run_call});
  for (const cached_program &p : cached_programs()) add(p);
  r.prepare = [=] {
    make_file(path, cached_bytes);
    make_cached(path);
  };
  r.finish = [=] { unlink(path.c_str()); };
  r.goals = {{"ef_read of cached 4 KiB: times uv_fs_read, one at a time", call, peer, 0, true, 1 / 20.0}};
  return r;
}

void measure_timed(const timed_program &p, const std::string &path, double *values) {
  timed_run run = run_timed(p, path, p.reads, timed_record);
  const double shares[] = {0.5, 0.99, 0.999, 1};
  for (int i = 0; i < 4; ++i) values[i] = run.timer.ms(shares[i]);
  values[4] = run.timer.ran_most_ms();
  values[5] = run.slept();
  values[6] = run.mb_per_second();
  values[7] = run.timer.ticks();
}

row timed_row(const options &o, const std::string &loop) {
  row r{"timer-" + loop.substr(3),
        loop + ": a 1 ms timer beside a cold file of " + std::to_string(o.cold_bytes >> 20) + " MiB read in 64 KiB",
        {{"p50 ms late", 3, false},
         {"p99 ms", 3, false},
         {"p99.9 ms", 2},
         {"max ms", 2},
         {"ran between, max ms", 2},
         {"slept in reads", 0},
         {"MB/s", 0},
         {"ticks", 0, false}},
        {},
        "blocking read(2)",
        2};
  const std::string path = o.directory + "/cold";
  for (const timed_program &p : timed_programs())
    if (p.loop == loop) r.variants.push_back({p.name, [=](double, double *values) { measure_timed(p, path, values); }});
  r.prepare = [=, bytes = o.cold_bytes] { make_file(path, bytes); };
  r.finish = [=] { unlink(path.c_str()); };
  r.warm_up = false;
  r.goals = {
      {loop + ", 1 ms timer beside a cold file by efio: ms late, worst", "efio", "", 3, true, late_ms_max, true},
      {loop + ", times the loop's thread slept while it read a cold file by efio", "efio", "", 5, true, 0, true}};
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  rows->push_back(cached_row(o));
  std::vector<std::string> loops;
  for (const timed_program &p : timed_programs())
    if (loops.empty() || loops.back() != p.loop) loops.push_back(p.loop);
  for (const std::string &l : loops) rows->push_back(timed_row(o, l));
}

const family loops(40, add_rows);

} // namespace
} // namespace bench

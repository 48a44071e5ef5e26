// SPDX-License-Identifier: BSD-2-Clause
// A big file read once from its beginning to its end in a loop with a 1 ms timer, cold and cached: throughput, its
// price, and what the timer feels of it.
#include "loops.hh"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace bench {
namespace {

constexpr std::size_t file_least = 256 << 20;
constexpr int throughput = 0, cpu = 1;
const char *const efio_uring = "efio uring", *const efio_threads = "efio threads",
                  *const uv = "libuv, uv_fs_read one at a time", *const plain = "read(2), 64 KiB";

struct contestant {
  const char *name, *loop, *program;
  const char *engine = nullptr; // EFIO_ENGINE
  std::size_t record = timed_record;
};

const contestant contestants[] = {{efio_uring, "libev", "efio", "uring"},
                                  {efio_threads, "libev", "efio", "threads"},
                                  {"efio uring, timer by timerfd", "libev", "efio, timerfd", "uring"},
                                  {uv, "libuv", "uv_fs_read, one at a time"},
                                  {plain, "libev", "blocking read(2)"},
                                  {"read(2), 1 MiB", "libev", "blocking read(2)", nullptr, 1 << 20}};

void measure(const contestant &c, const std::string &path, bool cold, double *values) {
  const timed_program *p = find_timed(c.loop, c.program);
  if (!p) skip("not built");
  if (c.engine) setenv("EFIO_ENGINE", c.engine, 1);
  timed_run run = run_timed(*p, path, cold, c.record);
  values[throughput] = run.mb_per_second();
  values[cpu] = run.cpu_seconds_per_gb();
  values[2] = run.timer.ms(0.999);
  values[3] = run.timer.ms(1);
  values[4] = run.timer.ran_most_ms();
  values[5] = run.slept();
}

row make_row(const options &o, bool cold) {
  row r{cold ? "sequential-cold" : "sequential-cached",
        std::string("a ") + (cold ? "cold" : "cached") + " file read once in 64 KiB beside a 1 ms timer",
        {{"MB/s", 0},
         {"cpu s/GB", 3},
         {"timer p99.9 ms late", 2},
         {"max ms", 2},
         {"ran between, max ms", 2},
         {"slept in reads", 0}},
        {},
        plain,
        throughput};
  const std::string path = o.directory + "/sequential";
  for (const contestant &c : contestants)
    r.variants.push_back({c.name, [=](double, double *values) { measure(c, path, cold, values); }});
  r.comparisons = {{efio_uring, uv, {throughput, cpu}},
                   {efio_threads, uv, {throughput, cpu}},
                   {efio_uring, plain, {throughput, cpu}},
                   {efio_threads, plain, {throughput, cpu}}};
  r.prepare = [=, bytes = o.cold_bytes, directory = o.directory] {
    make_file(path, size_that_fits(directory, bytes, file_least));
    if (!cold) make_cached(path);
  };
  r.finish = [=] { unlink(path.c_str()); };
  r.warm_up = false;
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  for (bool cold : {true, false}) rows->push_back(make_row(o, cold));
}

const family sequential(37, add_rows);

} // namespace
} // namespace bench

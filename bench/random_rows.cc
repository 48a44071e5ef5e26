// SPDX-License-Identifier: BSD-2-Clause
// Random blocks of 4 KiB by many readers around one loop, in the page cache and not.
#include "harness.hh"
#include "random_read.hh"

#include <efio.h>

#include <cstdlib>
#include <functional>

namespace bench {
namespace {

constexpr std::size_t file_least = 256 << 20;
constexpr double not_cold = 0.02; // of the file may be in memory after all
constexpr int reads_a_second = 0, cpu = 1;

const char *const efio_uring = "efio uring", *const efio_threads = "efio threads", *const raw = "liburing",
                  *const uv_4 = "libuv, 4 threads", *const uv_16 = "libuv, 16 threads";

struct contestant {
  const char *name;
  std::function<void(random_run *)> read;
  const char *uv_threads = nullptr;
};

const std::vector<contestant> contestants = {
    {efio_uring, [](random_run *r) { read_by_efio(r, EF_ENGINE_URING); }},
    {efio_threads, [](random_run *r) { read_by_efio(r, EF_ENGINE_THREADS); }},
    {raw, read_by_uring},
    {uv_4, read_by_uv, "4"},
    {uv_16, read_by_uv, "16"},
    {"POSIX aio, 16 threads", read_by_aio},
    {"pread(2) in the loop", read_by_pread},
};

void measure(const contestant &c, const std::string &path, int readers, bool misses, double seconds, double *values) {
  if (c.uv_threads) setenv("UV_THREADPOOL_SIZE", c.uv_threads, 1);
  if (misses && !make_cold(path)) skip("the file stays in memory (a file system without a disk?)");
  random_run run(path, readers, seconds, misses);
  c.read(&run);
  run.report(values);
  if (misses && cached_share(path) > run.share() * 1.05 + not_cold) skip("the kernel reads more than is asked for");
}

row make_row(const options &o, int readers, bool misses) {
  // The processor time is that of all threads of the process, those of the kernel's io_uring in it among them.
  row r{std::string("random-read-") + (misses ? "miss-" : "hit-") + std::to_string(readers),
        std::string(misses ? "uncached" : "cached") + " random 4 KiB, POSIX_FADV_RANDOM, " + std::to_string(readers) +
            " at once in one loop",
        {{"1000 reads/s", 1},
         {"cpu us/read", 2},
         {"p50 us", 1, false},
         {"p99 us", 0, false},
         {"p99.9 us", 0},
         {"switches/read", 3, false},
         {"timer p99.9 ms late", 2, false},
         {"max ms", 1}},
        {},
        raw,
        reads_a_second};
  const std::string path = o.directory + "/random";
  for (const contestant &c : contestants)
    r.variants.push_back(
        {c.name, [=](double seconds, double *values) { measure(c, path, readers, misses, seconds, values); }});
  r.comparisons = {{efio_uring, raw, {reads_a_second, cpu}},
                   {efio_uring, uv_4, {reads_a_second, cpu}},
                   {efio_threads, uv_4, {reads_a_second, cpu}},
                   {efio_threads, uv_16, {reads_a_second, cpu}}};
  r.seconds = o.loop_seconds;
  r.prepare = [=, bytes = o.cold_bytes, directory = o.directory] {
    // One file for all these rows; it goes with its directory.
    if (file_size(path) == 0) make_file(path, size_that_fits(directory, bytes, file_least));
    if (!misses) make_cached(path);
  };
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  for (bool misses : {false, true})
    for (int readers : {1, 16, 64, 128}) rows->push_back(make_row(o, readers, misses));
}

const family random_reads(35, add_rows);

} // namespace
} // namespace bench

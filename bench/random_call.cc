// SPDX-License-Identifier: BSD-2-Clause
// The call for a random block that is in the page cache, over and over without a loop around it: what the library adds
// to the system call.
#include "harness.hh"
#include "random_read.hh"

#include <efio.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t file_bytes = 16 << 20; // far more than the caches that belong to one core
constexpr std::size_t blocks = file_bytes / random_block, slice = 256;
const char *const by_efio = "ef_pread", *const by_preadv2 = "preadv2(RWF_NOWAIT)",
                  *const by_uv = "uv_fs_read, its loop";

using read_fn = ssize_t(int fd, char *to, off_t at);

std::uint64_t misses;

// The kernel may take its time over a cached block, too: its page is locked just now.
[[gnu::noinline]] ssize_t wait_for(const ef_request &request) {
  ++misses;
  ef_event event{};
  pollfd p{ef_port_fd(nullptr), POLLIN, 0};
  while (event.data != &request) {
    if (poll(&p, 1, 10'000) <= 0) fail("no event in 10 s");
    ef_port_next(nullptr, &event, 1);
  }
  errno = request.error;
  return request.result;
}

ssize_t call_efio(int fd, char *to, off_t at) {
  static ef_request request; // one at a time
  ssize_t n = ef_pread(fd, to, random_block, at, &request);
  return n < 0 && errno == EINPROGRESS ? wait_for(request) : n;
}

ssize_t call_efio_now(int fd, char *to, off_t at) {
  ssize_t n = ef_pread(fd, to, random_block, at, nullptr);
  if (n == random_block || (n < 0 && errno != EAGAIN)) return n;
  ++misses;
  return call_efio(fd, to, at);
}

ssize_t call_pread(int fd, char *to, off_t at) { return pread(fd, to, random_block, at); }

ssize_t call_preadv2(int fd, char *to, off_t at) {
  iovec iov{to, random_block};
  ssize_t n = preadv2(fd, &iov, 1, at, RWF_NOWAIT);
  if (n == random_block || (n < 0 && errno != EAGAIN)) return n;
  ++misses;
  return call_pread(fd, to, at);
}

int open_by_efio(const std::string &path) {
  int fd = ef_fdopen(nullptr, open_random(path), nullptr);
  if (fd < 0 || ef_wait(fd, EF_OPEN, 10'000) != EF_OPEN) fail("ef_fdopen: %s", std::strerror(errno));
  return fd;
}

void check_contents(read_fn *read, int fd, char *to) {
  piece_checker checker;
  for (std::size_t i = 0; i < blocks; ++i) {
    if (read(fd, to, static_cast<off_t>(i * random_block)) != random_block) fail("read: %s", std::strerror(errno));
    if (!checker.right(to, random_block, i * random_block)) fail("the bytes are not those of the file");
  }
}

// Slices are timed, so that a moment in which the thread did not run can be told apart.
void measure(read_fn *read, int fd, double seconds, double *values) {
  auto to = std::make_unique<char[]>(random_block);
  check_contents(read, fd, to.get());
  std::vector<off_t> places(blocks);
  std::iota(places.begin(), places.end(), 0);
  std::shuffle(places.begin(), places.end(), std::mt19937(1));
  std::vector<double> slices;
  misses = 0;
  usage mine(RUSAGE_THREAD);
  std::int64_t begin = now_ns(), end = begin + static_cast<std::int64_t>(seconds * 1e9), now = begin;
  for (std::size_t i = 0; now < end; i = (i + slice) % blocks) {
    std::int64_t before = now;
    for (std::size_t j = i; j < i + slice; ++j)
      if (read(fd, to.get(), places[j] * static_cast<off_t>(random_block)) != random_block)
        fail("read: %s", std::strerror(errno));
    now = now_ns();
    slices.push_back(static_cast<double>(now - before) / slice);
  }
  values[0] = summarize(slices).median;
  values[1] = static_cast<double>(now - begin) / static_cast<double>(slices.size() * slice);
  values[2] = mine.voluntary();
  values[3] = static_cast<double>(misses);
}

// Its threads do the reading: a call is a turn of the loop.
void measure_uv(const std::string &path, double seconds, double *values) {
  random_run run(path, 1, seconds, false);
  usage mine(RUSAGE_THREAD);
  read_by_uv(&run);
  values[0] = values[1] = run.per_read_us() * 1e3;
  values[2] = mine.voluntary();
}

void add_rows(const options &o, std::vector<row> *rows) {
  row r{"random-read-call",
        "cached random 4 KiB, one call after the other, no loop",
        {{"ns/read", 1}, {"mean ns/read", 1}, {"voluntary switches", 0}, {"misses", 0}},
        {},
        by_preadv2};
  const std::string path = o.directory + "/called";
  auto add = [&](const char *name, int (*open)(const std::string &), read_fn *read) {
    r.variants.push_back({name, [=](double s, double *values) { measure(read, open(path), s, values); }});
  };
  add(by_efio, open_by_efio, call_efio);
  add("ef_pread, no request", open_by_efio, call_efio_now);
  add(by_preadv2, open_random, call_preadv2);
  add("pread(2)", open_random, call_pread);
  r.variants.push_back({by_uv, [=](double s, double *values) { measure_uv(path, s, values); }});
  r.comparisons = {{by_efio, by_preadv2, {0}}, {by_efio, by_uv, {0}}};
  r.prepare = [=] {
    make_file(path, file_bytes);
    make_cached(path);
  };
  r.finish = [=] { unlink(path.c_str()); };
  rows->push_back(std::move(r));
}

const family random_calls(34, add_rows);

} // namespace
} // namespace bench

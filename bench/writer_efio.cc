// SPDX-License-Identifier: BSD-2-Clause
// efio, with each of its answers to a full budget.
#include "writers.hh"

#include "harness.hh"
#include "lines.hh"

#include <efio.h>

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace bench {
namespace {

constexpr int wait_ms = 10'000, end_ms = 30'000;

class ef_writer final : public writer {
 public:
  ef_writer(const std::string &path, int threads, int when_full, unsigned flush_interval_ms, int order, line_fn *put)
      : writer(put), lanes_(static_cast<std::size_t>(threads)) {
    ef_file_options options{};
    options.size = sizeof options;
    options.when_full = when_full;
    options.flush_interval_ms = flush_interval_ms;
    options.order = order;
    fd_ = ef_openat(nullptr, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600, &options);
    if (fd_ < 0 || ef_wait(fd_, EF_OPEN, wait_ms) != EF_OPEN) fail("ef_open: %s", std::strerror(errno));
    for (ef_lane &l : lanes_) l.fd = fd_;
  }
  void *lane(int thread) override { return &lanes_[static_cast<std::size_t>(thread)]; }
  void finish() override {
    ef_file_counters c{};
    c.size = sizeof c;
    if (ef_file_stats(fd_, &c) < 0) fail("ef_file_stats: %s", std::strerror(errno));
    dropped_ = c.dropped / line_bytes;
    if (ef_close(fd_) < 0 || ef_drain(nullptr, end_ms) < 0) fail("ef_close: %s", std::strerror(errno));
  }
  std::uint64_t waits() override {
    std::uint64_t n = 0;
    for (const ef_lane &l : lanes_) n += l.waits;
    return n;
  }
  std::uint64_t refused() override {
    std::uint64_t n = 0;
    for (const ef_lane &l : lanes_) n += l.refused;
    return n;
  }
  std::uint64_t dropped() override { return dropped_; }

  // EAGAIN waits as a program without a loop does.
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    auto *l = static_cast<ef_lane *>(lane);
    if (ef_write(l->fd, text, n) != static_cast<ssize_t>(n)) put_later(l, text, n);
  }
  // EAGAIN is the answer; a program with a loop hears of room by EF_WRITE and goes on meanwhile.
  [[gnu::noinline]] static void offer(void *lane, const char *text, std::size_t n) {
    auto *l = static_cast<ef_lane *>(lane);
    if (ef_write(l->fd, text, n) == static_cast<ssize_t>(n)) return;
    if (errno != EAGAIN) fail("ef_write: %s", std::strerror(errno));
    ++l->refused;
  }

 private:
  struct alignas(128) ef_lane {
    int fd;
    std::uint64_t waits = 0, refused = 0;
  };
  [[gnu::noinline]] static void put_later(ef_lane *l, const char *text, std::size_t n) {
    do {
      if (errno != EAGAIN) fail("ef_write: %s", std::strerror(errno));
      ++l->waits;
      if (ef_wait(l->fd, EF_WRITE, wait_ms) <= 0) fail("ef_wait: no room in 10 s");
    } while (ef_write(l->fd, text, n) != static_cast<ssize_t>(n));
  }
  std::vector<ef_lane> lanes_;
  int fd_;
  std::uint64_t dropped_ = 0;
};

template<int when_full, line_fn *put, unsigned flush_interval_ms = 0, int order = EF_ORDER_CALL>
std::unique_ptr<writer> open_efio(const std::string &path, int threads) {
  return std::make_unique<ef_writer>(path, threads, when_full, flush_interval_ms, order, put);
}

} // namespace

const writer_kind efio_writer{"ef_write", open_efio<EF_FULL_EAGAIN, ef_writer::put>};
const writer_kind efio_slow{"ef_write, flush_interval_ms 5000", open_efio<EF_FULL_EAGAIN, ef_writer::put, 5000>};
const writer_kind efio_by_thread{"ef_write, EF_ORDER_THREAD",
                                 open_efio<EF_FULL_EAGAIN, ef_writer::put, 0, EF_ORDER_THREAD>, callers::many};
const writer_kind efio_told{"ef_write, EAGAIN", open_efio<EF_FULL_EAGAIN, ef_writer::offer>};
const writer_kind efio_drops{"ef_write, EF_FULL_DROP", open_efio<EF_FULL_DROP, ef_writer::offer>};
const writer_kind efio_waits{"ef_write, EF_FULL_WAIT", open_efio<EF_FULL_WAIT, ef_writer::offer>};

} // namespace bench

// SPDX-License-Identifier: BSD-2-Clause
// Copying into a ring, efio, write(2) and stdio.
#include "writers.hh"

#include "harness.hh"
#include "timing.hh"

#include <efio.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bench {
namespace {

constexpr std::size_t block_bytes = 65536;
constexpr int open_flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;

void write_all(int fd, const char *data, std::size_t n) {
  while (n > 0) {
    ssize_t r = write(fd, data, n);
    if (r <= 0) fail("write: %s", std::strerror(errno));
    data += r;
    n -= static_cast<std::size_t>(r);
  }
}

// ---- The limit: a copy, and nothing else
class ring_writer final : public writer {
 public:
  explicit ring_writer(std::size_t size) : writer(put), size_(size), ring_(new char[size]()) {}

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    auto *w = static_cast<ring_writer *>(lane);
    if (w->at_ + n > w->size_) w->at_ = 0;
    std::memcpy(w->ring_.get() + w->at_, text, n);
    w->at_ += n;
    keep(w); // the bytes may be read from now on
  }
  std::size_t size_, at_ = 0;
  std::unique_ptr<char[]> ring_;
};

template<std::size_t size> std::unique_ptr<writer> open_ring(const std::string &, int) {
  return std::make_unique<ring_writer>(size);
}

// ---- efio: EAGAIN waits as a program without a loop does
class ef_writer final : public writer {
 public:
  ef_writer(const std::string &path, int threads) : writer(put), lanes_(static_cast<std::size_t>(threads)) {
    fd_ = ef_open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd_ < 0 || ef_wait(fd_, EF_OPEN, 10'000) != EF_OPEN) fail("ef_open: %s", std::strerror(errno));
    for (ef_lane &l : lanes_) l.fd = fd_;
  }
  void *lane(int thread) override { return &lanes_[static_cast<std::size_t>(thread)]; }
  void finish() override {
    if (ef_close(fd_) < 0 || ef_drain(nullptr, 30'000) < 0) fail("ef_close: %s", std::strerror(errno));
  }
  std::uint64_t waits() override {
    std::uint64_t n = 0;
    for (const ef_lane &l : lanes_) n += l.waits;
    return n;
  }

 private:
  struct alignas(128) ef_lane {
    int fd;
    std::uint64_t waits = 0;
  };
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    auto *l = static_cast<ef_lane *>(lane);
    if (ef_write(l->fd, text, n) != static_cast<ssize_t>(n)) put_later(l, text, n);
  }
  [[gnu::noinline]] static void put_later(ef_lane *l, const char *text, std::size_t n) {
    do {
      if (errno != EAGAIN) fail("ef_write: %s", std::strerror(errno));
      ++l->waits;
      if (ef_wait(l->fd, EF_WRITE, 10'000) <= 0) fail("ef_wait: no room in 10 s");
    } while (ef_write(l->fd, text, n) != static_cast<ssize_t>(n));
  }
  std::vector<ef_lane> lanes_;
  int fd_;
};

// ---- write(2), one call a line
class call_writer final : public writer {
 public:
  explicit call_writer(const std::string &path) : writer(put), fd_(open(path.c_str(), open_flags, 0600)) {}
  ~call_writer() override { close(fd_); }

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    int fd = static_cast<call_writer *>(lane)->fd_;
    if (write(fd, text, n) != static_cast<ssize_t>(n)) fail("write: %s", std::strerror(errno));
  }
  int fd_;
};

// ---- write(2) in blocks, each thread its own. One thread fills blocks to the last byte, several keep lines whole.
class block_writer final : public writer {
 public:
  block_writer(const std::string &path, int threads)
      : writer(put), fd_(open(path.c_str(), open_flags, 0600)), lanes_(static_cast<std::size_t>(threads)) {
    for (block_lane &l : lanes_) l = {fd_, threads == 1, 0, std::vector<char>(block_bytes)};
  }
  ~block_writer() override { close(fd_); }
  void *lane(int thread) override { return &lanes_[static_cast<std::size_t>(thread)]; }
  void finish() override {
    for (block_lane &l : lanes_) write_out(&l);
  }

 private:
  struct alignas(128) block_lane {
    int fd;
    bool split;
    std::size_t used;
    std::vector<char> block;
  };
  static void write_out(block_lane *l) {
    write_all(l->fd, l->block.data(), l->used);
    l->used = 0;
  }
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    auto *l = static_cast<block_lane *>(lane);
    if (l->used + n > block_bytes) {
      std::size_t part = l->split ? block_bytes - l->used : 0;
      std::memcpy(l->block.data() + l->used, text, part);
      l->used += part;
      write_out(l);
      text += part;
      n -= part;
    }
    std::memcpy(l->block.data() + l->used, text, n);
    l->used += n;
  }
  int fd_;
  std::vector<block_lane> lanes_;
};

// ---- stdio, with a buffer as large as a chunk of ours
class stdio_writer final : public writer {
 public:
  stdio_writer(const std::string &path, line_fn *put) : writer(put), file_(std::fopen(path.c_str(), "we")) {
    if (!file_ || std::setvbuf(file_, nullptr, _IOFBF, block_bytes) != 0) fail("fopen: %s", std::strerror(errno));
  }
  void finish() override {
    if (std::fclose(file_) != 0) fail("fclose: %s", std::strerror(errno));
  }
  [[gnu::noinline]] static void put_unlocked(void *lane, const char *text, std::size_t n) {
    if (fwrite_unlocked(text, 1, n, static_cast<stdio_writer *>(lane)->file_) != n) fail("fwrite_unlocked");
  }
  [[gnu::noinline]] static void put_locked(void *lane, const char *text, std::size_t n) {
    if (std::fwrite(text, 1, n, static_cast<stdio_writer *>(lane)->file_) != n) fail("fwrite");
  }

 private:
  std::FILE *file_;
};

} // namespace

const writer_kind memcpy_small{"memcpy, 64 KiB ring", open_ring<65536>, false};
const writer_kind memcpy_large{"memcpy, 4 MiB ring", open_ring<4 << 20>, false};
const writer_kind efio_writer{"ef_write", [](const std::string &path, int threads) -> std::unique_ptr<writer> {
                                return std::make_unique<ef_writer>(path, threads);
                              }};
const writer_kind write_each{"write(2)", [](const std::string &path, int) -> std::unique_ptr<writer> {
                               return std::make_unique<call_writer>(path);
                             }};
const writer_kind write_blocks{"write(2), 64 KiB blocks",
                               [](const std::string &path, int threads) -> std::unique_ptr<writer> {
                                 return std::make_unique<block_writer>(path, threads);
                               }};
const writer_kind stdio_unlocked{"fwrite_unlocked, 64 KiB buffer",
                                 [](const std::string &path, int) -> std::unique_ptr<writer> {
                                   return std::make_unique<stdio_writer>(path, stdio_writer::put_unlocked);
                                 }};
const writer_kind stdio_locked{"fwrite, 64 KiB buffer", [](const std::string &path, int) -> std::unique_ptr<writer> {
                                 return std::make_unique<stdio_writer>(path, stdio_writer::put_locked);
                               }};

} // namespace bench

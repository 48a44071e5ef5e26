// SPDX-License-Identifier: BSD-2-Clause
// Copying into a ring, write(2), and the list of all writers.
#include "writers.hh"

#include "harness.hh"
#include "timing.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
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
  ring_writer(std::size_t size, int threads) : writer(put), lanes_(static_cast<std::size_t>(threads)) {
    for (ring_lane &l : lanes_) l = {size, 0, std::vector<char>(size)};
  }
  void *lane(int thread) override { return &lanes_[static_cast<std::size_t>(thread)]; }

 private:
  struct alignas(128) ring_lane {
    std::size_t size, at;
    std::vector<char> ring;
  };
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    auto *l = static_cast<ring_lane *>(lane);
    if (l->at + n > l->size) l->at = 0;
    std::memcpy(l->ring.data() + l->at, text, n);
    l->at += n;
    keep(l); // the bytes may be read from now on
  }
  std::vector<ring_lane> lanes_;
};

template<std::size_t size> std::unique_ptr<writer> open_ring(const std::string &, int threads) {
  return std::make_unique<ring_writer>(size, threads);
}

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

} // namespace

const writer_kind memcpy_small{"memcpy, 64 KiB ring", open_ring<65536>, callers::any, 0, false};
const writer_kind memcpy_large{"memcpy, 4 MiB ring", open_ring<4 << 20>, callers::any, 0, false};
const writer_kind write_each{"write(2)", [](const std::string &path, int) -> std::unique_ptr<writer> {
                               return std::make_unique<call_writer>(path);
                             }};
const writer_kind write_blocks{"write(2), 64 KiB blocks",
                               [](const std::string &path, int threads) -> std::unique_ptr<writer> {
                                 return std::make_unique<block_writer>(path, threads);
                               }};
std::vector<const writer_kind *> file_writers(int threads) {
  const writer_kind *all[] = {&write_blocks,  &efio_writer, &efio_by_thread,     &stdio_unlocked, &stdio_locked,
                              &stream_writer, &two_buffers, &spdlog_sync_single, &spdlog_sync,    &spdlog_async,
                              &glog_writer,   &boost_sync,  &boost_async,        &log4cplus_file, &write_each,
                              &uv_lines,      &uv_batches};
  std::vector<const writer_kind *> able;
  for (const writer_kind *kind : all)
    if (threads == 1 ? kind->threads != callers::many : kind->threads != callers::one) able.push_back(kind);
  return able;
}

} // namespace bench

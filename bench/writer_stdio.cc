// SPDX-License-Identifier: BSD-2-Clause
// The streams of C and of C++, with a buffer as large as the blocks of write(2).
#include "writers.hh"

#include "harness.hh"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>

namespace bench {
namespace {

constexpr std::size_t buffer_bytes = 65536;

class stdio_writer final : public writer {
 public:
  stdio_writer(const std::string &path, line_fn *put) : writer(put), file_(std::fopen(path.c_str(), "we")) {
    // Without a buffer of the caller's the C library takes one of 4 KiB, whatever size it is told.
    if (!file_ || std::setvbuf(file_, buffer_.get(), _IOFBF, buffer_bytes) != 0)
      fail("fopen: %s", std::strerror(errno));
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
  std::unique_ptr<char[]> buffer_{new char[buffer_bytes]};
  std::FILE *file_;
};

template<line_fn *put> std::unique_ptr<writer> open_stdio(const std::string &path, int) {
  return std::make_unique<stdio_writer>(path, put);
}

// A stream takes one thread at a time: several need a mutex.
class file_stream final : public writer {
 public:
  file_stream(const std::string &path, line_fn *put) : writer(put) {
    out_.rdbuf()->pubsetbuf(buffer_.get(), buffer_bytes); // counts only before the file is opened
    out_.open(path, std::ios::out | std::ios::trunc | std::ios::binary);
    if (!out_) fail("std::ofstream: %s", std::strerror(errno));
  }
  void finish() override {
    out_.close();
    if (!out_) fail("std::ofstream: close");
  }
  [[gnu::noinline]] static void put_alone(void *lane, const char *text, std::size_t n) {
    if (!static_cast<file_stream *>(lane)->out_.write(text, static_cast<std::streamsize>(n))) fail("std::ofstream");
  }
  [[gnu::noinline]] static void put_locked(void *lane, const char *text, std::size_t n) {
    std::lock_guard hold(static_cast<file_stream *>(lane)->mutex_);
    put_alone(lane, text, n);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<char[]> buffer_{new char[buffer_bytes]};
  std::ofstream out_; // last: it uses the buffer
};

std::unique_ptr<writer> open_stream(const std::string &path, int threads) {
  return std::make_unique<file_stream>(path, threads == 1 ? file_stream::put_alone : file_stream::put_locked);
}

} // namespace

const writer_kind stdio_unlocked{"fwrite_unlocked, 64 KiB buffer", open_stdio<stdio_writer::put_unlocked>,
                                 callers::one};
const writer_kind stdio_locked{"fwrite, 64 KiB buffer", open_stdio<stdio_writer::put_locked>};
const writer_kind stream_writer{"std::ofstream, 64 KiB buffer", open_stream};

} // namespace bench

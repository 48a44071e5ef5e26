// SPDX-License-Identifier: BSD-2-Clause
// A file that is measured: one of libefio with a loop of its own, or a plain descriptor.
#ifndef EFIO_TOOL_BENCH_FILE_HH
#define EFIO_TOOL_BENCH_FILE_HH

#include "loop.hh"

#include <efio.h>

#include <cstdint>
#include <string>

namespace tool {

std::string error_text(int error);

class efio_file {
 public:
  efio_file() = default;
  efio_file(const efio_file &) = delete;
  efio_file &operator=(const efio_file &) = delete;
  ~efio_file(); // everything accepted is written, or given up

  // Opens it and waits until it is open; "" or what went wrong.
  std::string open(const std::string &name, int flags, int pattern);

  // Until what was accepted is written; "" or what keeps it.
  std::string settle();

  int number() const { return file_; }
  loop &events() { return loop_; }

 private:
  loop loop_;
  int file_ = -1;
};

class plain_file {
 public:
  plain_file() = default;
  plain_file(const plain_file &) = delete;
  plain_file &operator=(const plain_file &) = delete;
  ~plain_file();
  std::string open(const std::string &name, int flags, int advice); // advice for posix_fadvise(2)
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Places of blocks in a file: each comes once, in an order that looks random and is decided by the seed.
class block_order {
 public:
  block_order(std::uint64_t blocks, std::uint64_t seed);
  bool next(std::uint64_t *block); // false: all have come

 private:
  std::uint64_t blocks_, seed_, mask_, at_ = 0;
  int half_;
};

} // namespace tool
#endif

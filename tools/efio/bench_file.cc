// SPDX-License-Identifier: BSD-2-Clause
// Opening and closing around what is measured.
#include "bench_file.hh"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

namespace tool {
namespace {

constexpr int settle_ms = 1000; // so often it is asked whether the disk is full

} // namespace

std::string error_text(int error) { return error ? std::strerror(error) : ""; }

std::string efio_file::open(const std::string &name, int flags, int pattern) {
  if (int error = loop_.open()) return no_port(-error);
  ef_file_options options = {};
  options.size = sizeof options;
  options.pattern = pattern;
  file_ = ef_openat(loop_.port(), AT_FDCWD, name.c_str(), flags, 0, &options);
  if (file_ < 0) return "ef_openat: " + error_text(errno);
  int now = ef_watch(file_, EF_OPEN, nullptr);
  if (now < 0) return "ef_watch: " + error_text(errno);
  return error_text(now > 0 ? 0 : loop_.await(file_, EF_OPEN));
}

std::string efio_file::settle() {
  if (ef_flush(file_) != 0) return error_text(errno);
  while (ef_drain(loop_.port(), settle_ms) != 0) {
    ef_file_counters c = {};
    c.size = sizeof c;
    if (errno != ETIMEDOUT || ef_file_stats(file_, &c) != 0) return error_text(errno);
    if (c.error || c.write_trouble) return error_text(c.error ? c.error : c.write_trouble);
  }
  return "";
}

efio_file::~efio_file() {
  if (file_ >= 0) ef_close(file_);
  if (loop_.port()) ef_drain(loop_.port(), -1); // a closed file gives up what a full disk holds back
}

plain_file::~plain_file() {
  if (fd_ >= 0) close(fd_);
}

std::string plain_file::open(const std::string &name, int flags, int advice) {
  fd_ = ::open(name.c_str(), flags | O_CLOEXEC);
  if (fd_ < 0) return error_text(errno);
  posix_fadvise(fd_, 0, 0, advice);
  return "";
}

block_order::block_order(std::uint64_t blocks, std::uint64_t seed)
    : blocks_(blocks), seed_(seed * 0x9e3779b97f4a7c15), mask_(std::bit_ceil(blocks) - 1),
      half_(static_cast<int>(std::bit_width(mask_)) / 2 + 1) {}

// Odd factors and shifts to the right can be undone within the mask, so no number comes twice.
bool block_order::next(std::uint64_t *block) {
  while (at_ <= mask_) {
    std::uint64_t x = (at_++ + seed_) & mask_;
    for (std::uint64_t factor : {0xbf58476d1ce4e5b9ULL, 0x94d049bb133111ebULL}) { // of splitmix64 (Vigna)
      x = (x * factor) & mask_;
      x ^= x >> half_;
    }
    if (x < blocks_) return *block = x, true;
  }
  return false;
}

} // namespace tool

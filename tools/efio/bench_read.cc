// SPDX-License-Identifier: BSD-2-Clause
// Reads one at a time: at random places from memory and from disk, and one after the other.
#include "bench_file.hh"
#include "bench_run.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace tool {
namespace {

constexpr std::size_t block = 4096, stretch = 64 << 10;
constexpr std::uint64_t cached_max = 32 << 20; // of the file that is read from memory

// 4 KiB at a place: a count, or -1 and errno. The file is the library's or the kernel's.
using read_at_fn = ssize_t (*)(void *file, void *buffer, off_t offset);

ssize_t read_at_efio(void *file, void *buffer, off_t offset) {
  auto *f = static_cast<efio_file *>(file);
  ef_request request = {};
  ssize_t n = ef_pread(f->number(), buffer, block, offset, &request);
  if (n >= 0 || errno != EINPROGRESS) return n;
  int error = f->events().await(&request);
  errno = error ? error : request.error;
  return error ? -1 : request.result;
}

ssize_t read_at_plain(void *file, void *buffer, off_t offset) {
  return pread(static_cast<plain_file *>(file)->fd(), buffer, block, offset);
}

std::string short_read(ssize_t n) { return n < 0 ? error_text(errno) : "a read was short"; }

std::string read_blocks(bench_round &r, std::uint64_t bytes, bool again, read_at_fn read_at, void *file) {
  alignas(4096) char buffer[block];
  r.begin();
  for (std::uint64_t pass = 0; !r.over() && (pass == 0 || again); ++pass) {
    block_order order(bytes / block, r.seed + pass);
    for (std::uint64_t at; !r.over() && order.next(&at);) {
      std::int64_t began = now_ns();
      ssize_t n = read_at(file, buffer, static_cast<off_t>(at * block));
      if (n != static_cast<ssize_t>(block)) return short_read(n);
      r.done(began, block);
    }
  }
  r.end();
  return "";
}

// Into the kernel's memory, before the clock runs.
std::string warm_up(const bench_files &files, std::uint64_t bytes) {
  plain_file f;
  std::string error = f.open(files.read_name(), O_RDONLY, POSIX_FADV_SEQUENTIAL);
  auto buffer = std::make_unique<char[]>(stretch);
  for (std::uint64_t at = 0; error.empty() && at < bytes; at += stretch)
    if (pread(f.fd(), buffer.get(), stretch, static_cast<off_t>(at)) < 0) error = error_text(errno);
  return error;
}

std::string read_efio(bench_round &r, std::uint64_t bytes, bool again) {
  efio_file f;
  std::string error = f.open(r.files.read_name(), O_RDONLY, EF_PATTERN_RANDOM);
  return error.empty() ? read_blocks(r, bytes, again, read_at_efio, &f) : error;
}

std::string read_plain(bench_round &r, std::uint64_t bytes, bool again) {
  plain_file f;
  std::string error = f.open(r.files.read_name(), O_RDONLY, POSIX_FADV_RANDOM);
  return error.empty() ? read_blocks(r, bytes, again, read_at_plain, &f) : error;
}

std::uint64_t cached_bytes(const bench_round &r) { return std::min(r.files.size(), cached_max); }

} // namespace

std::string read_cached_efio(bench_round &r) {
  std::string error = warm_up(r.files, cached_bytes(r));
  return error.empty() ? read_efio(r, cached_bytes(r), true) : error;
}

std::string read_cached_plain(bench_round &r) {
  std::string error = warm_up(r.files, cached_bytes(r));
  return error.empty() ? read_plain(r, cached_bytes(r), true) : error;
}

std::string read_cold_efio(bench_round &r) { return read_efio(r, r.files.size(), false); }
std::string read_cold_plain(bench_round &r) { return read_plain(r, r.files.size(), false); }

std::string read_sequential_efio(bench_round &r) {
  efio_file f;
  std::string error = f.open(r.files.read_name(), O_RDONLY, EF_PATTERN_SEQUENTIAL);
  if (!error.empty()) return error;
  auto buffer = std::make_unique<char[]>(stretch);
  std::uint64_t done = 0;
  r.begin();
  while (done < r.files.size() && !r.over()) {
    std::int64_t began = now_ns();
    ssize_t n;
    while ((n = ef_read(f.number(), buffer.get(), stretch)) < 0 && errno == EAGAIN)
      if (int trouble = f.events().await(f.number(), EF_READ)) return error_text(trouble);
    if (n <= 0) return short_read(n);
    r.done(began, static_cast<std::size_t>(n));
    done += static_cast<std::uint64_t>(n);
  }
  r.end();
  return "";
}

std::string read_sequential_plain(bench_round &r) {
  plain_file f;
  std::string error = f.open(r.files.read_name(), O_RDONLY, POSIX_FADV_SEQUENTIAL);
  if (!error.empty()) return error;
  auto buffer = std::make_unique<char[]>(stretch);
  std::uint64_t done = 0;
  r.begin();
  while (done < r.files.size() && !r.over()) {
    std::int64_t began = now_ns();
    ssize_t n = read(f.fd(), buffer.get(), stretch);
    if (n <= 0) return short_read(n);
    r.done(began, static_cast<std::size_t>(n));
    done += static_cast<std::uint64_t>(n);
  }
  r.end();
  return "";
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// Writes: lines, long stretches, and single blocks that must be on disk. Each test begins with an empty file.
#include "bench_file.hh"
#include "bench_run.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace tool {
namespace {

constexpr std::size_t line = 100, stretch = 64 << 10, block = 4096;
constexpr int flags = O_WRONLY | O_TRUNC;

// Taken whole, after as many events as it needs; "" or what went wrong.
std::string write_efio(efio_file *f, const std::vector<char> &bytes) {
  for (;;) {
    ssize_t n = ef_write(f->number(), bytes.data(), bytes.size());
    if (n == static_cast<ssize_t>(bytes.size())) return "";
    if (n >= 0) return "a write was short";
    int error = errno == EAGAIN ? f->events().await(f->number(), EF_WRITE) : errno;
    if (error) return error_text(error);
  }
}

std::string write_plain(plain_file *f, const std::vector<char> &bytes) {
  ssize_t n = write(f->fd(), bytes.data(), bytes.size());
  return n == static_cast<ssize_t>(bytes.size()) ? "" : n < 0 ? error_text(errno) : "a write was short";
}

std::string sync_file(efio_file *f) {
  if (ef_sync(f->number()) != 0) return error_text(errno);
  return error_text(f->events().await(f->number(), EF_SYNC));
}

std::string sync_file(plain_file *f) { return error_text(fdatasync(f->fd()) == 0 ? 0 : errno); }

// Writes until time is up or the file is large enough; each is one operation, with what `after` adds to it.
template<class File> std::string append(bench_round &r, File *f, std::size_t size,
                                        std::string (*write_one)(File *, const std::vector<char> &),
                                        std::string (*after)(File *)) {
  std::vector<char> bytes(size, 'x');
  bytes.back() = '\n';
  for (std::uint64_t done = 0; done + size <= r.files.write_max() && !r.over(); done += size) {
    std::int64_t began = now_ns();
    std::string error = write_one(f, bytes);
    if (error.empty() && after) error = after(f);
    if (!error.empty()) return error;
    r.done(began, size);
  }
  return "";
}

// at_end counts in the throughput, not in a latency: until then what was accepted is not written.
std::string measure_efio(bench_round &r, std::size_t size, std::string (*after)(efio_file *),
                         std::string (*at_end)(efio_file *)) {
  efio_file f;
  std::string error = f.open(r.files.write_name(), flags, EF_PATTERN_ADAPTIVE);
  if (!error.empty()) return error;
  r.begin();
  error = append(r, &f, size, write_efio, after);
  if (error.empty()) error = at_end(&f);
  r.end();
  return error;
}

std::string measure_plain(bench_round &r, std::size_t size, std::string (*after)(plain_file *),
                          std::string (*at_end)(plain_file *)) {
  plain_file f;
  std::string error = f.open(r.files.write_name(), flags, POSIX_FADV_NORMAL);
  if (!error.empty()) return error;
  r.begin();
  error = append(r, &f, size, write_plain, after);
  if (error.empty() && at_end) error = at_end(&f);
  r.end();
  return error;
}

std::string settle(efio_file *f) { return f->settle(); }

} // namespace

std::string write_line_efio(bench_round &r) { return measure_efio(r, line, nullptr, settle); }
std::string write_line_plain(bench_round &r) { return measure_plain(r, line, nullptr, nullptr); }
std::string write_sequential_efio(bench_round &r) { return measure_efio(r, stretch, nullptr, sync_file); }
std::string write_sequential_plain(bench_round &r) { return measure_plain(r, stretch, nullptr, sync_file); }
std::string sync_efio(bench_round &r) { return measure_efio(r, block, sync_file, settle); }
std::string sync_plain(bench_round &r) { return measure_plain(r, block, sync_file, nullptr); }

} // namespace tool

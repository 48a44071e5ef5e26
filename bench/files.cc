// SPDX-License-Identifier: BSD-2-Clause
// Files to measure with, by plain system calls.
#include "files.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t block = 1 << 20;
constexpr double cold_enough = 0.01, cached_enough = 0.999;

class descriptor {
 public:
  descriptor(const std::string &path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  descriptor(const descriptor &) = delete;
  descriptor &operator=(const descriptor &) = delete;
  operator int() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void give_up(const std::string &path) {
  std::fprintf(stderr, "efio-bench: %s: %s\n", path.c_str(), std::strerror(errno));
  std::exit(1);
}

// The contents, by places of words: splitmix64 (Steele, Lea, Flood 2014) of a counter.
std::uint64_t word_at(std::uint64_t index) {
  std::uint64_t w = (index + 1) * 0x9e3779b97f4a7c15u;
  w = (w ^ (w >> 30)) * 0xbf58476d1ce4e5b9u;
  w = (w ^ (w >> 27)) * 0x94d049bb133111ebu;
  return w ^ (w >> 31);
}

bool write_all(int fd, const char *data, std::size_t n) {
  while (n > 0) {
    ssize_t r = write(fd, data, n);
    if (r <= 0) return false;
    data += r;
    n -= static_cast<std::size_t>(r);
  }
  return true;
}

} // namespace

void checksum::add(const char *data, std::size_t n) {
  while (n > 0 && bytes % 8 != 0) {
    partial_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(*data++)) << (bytes++ % 8 * 8);
    --n;
    if (bytes % 8 == 0) {
      add_word(partial_);
      partial_ = 0;
    }
  }
  std::size_t words = n / 8;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t word;
    std::memcpy(&word, data + i * 8, 8);
    add_word(word);
  }
  bytes += words * 8;
  for (std::size_t i = words * 8; i < n; ++i)
    partial_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i])) << (bytes++ % 8 * 8);
}

checksum make_file(const std::string &path, std::size_t size) {
  descriptor fd(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) give_up(path);
  checksum c;
  std::uint64_t index = 0;
  std::vector<std::uint64_t> words(block / 8);
  for (std::size_t done = 0; done < size;) {
    for (std::uint64_t &w : words) w = word_at(index++);
    std::size_t n = std::min(block, size - done);
    const char *data = reinterpret_cast<const char *>(words.data());
    if (!write_all(fd, data, n)) give_up(path);
    c.add(data, n);
    done += n;
  }
  if (fdatasync(fd) < 0) give_up(path);
  return c;
}

bool piece_checker::right(const char *data, std::size_t n, std::size_t at) {
  std::size_t skip = (8 - at % 8) % 8; // to the first word that is whole
  if (n < skip + 8) return true;       // too small to hold one
  std::size_t words = (n - skip) / 8, step = pieces_++ % whole_every == 0 ? 1 : words - 1;
  for (std::size_t i = 0; i < words; i += std::max<std::size_t>(step, 1)) {
    std::uint64_t word;
    std::memcpy(&word, data + skip + i * 8, 8);
    if (word != word_at((at + skip) / 8 + i)) return false;
  }
  return true;
}

std::size_t size_that_fits(const std::string &directory, std::size_t wanted, std::size_t least) {
  struct statvfs fs;
  if (statvfs(directory.c_str(), &fs) != 0) return least;
  std::size_t room = static_cast<std::size_t>(fs.f_bavail) * fs.f_frsize / 2;
  while (wanted > room && wanted / 2 >= least) wanted /= 2;
  return wanted;
}

double cached_share(const std::string &path) {
  descriptor fd(path, O_RDONLY);
  std::size_t size = file_size(path), pages = (size + 4095) / 4096;
  if (fd < 0 || size == 0) return -1;
  void *map = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return -1;
  std::vector<unsigned char> present(pages);
  int error = mincore(map, size, present.data());
  munmap(map, size);
  if (error) return -1;
  std::size_t cached = 0;
  for (unsigned char p : present) cached += p & 1;
  return static_cast<double>(cached) / static_cast<double>(pages);
}

bool make_cached(const std::string &path) {
  descriptor fd(path, O_RDONLY);
  std::vector<char> data(block);
  while (read(fd, data.data(), data.size()) > 0) {}
  return cached_share(path) > cached_enough;
}

bool make_cold(const std::string &path) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    descriptor fd(path, O_RDONLY);
    if (fd < 0 || fdatasync(fd) < 0) return false; // dirty pages would stay
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    double share = cached_share(path);
    if (share >= 0 && share < cold_enough) return true;
    usleep(50'000); // pages on their way through the kernel's batches stay at the first attempt
  }
  return false;
}

std::size_t file_size(const std::string &path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 ? static_cast<std::size_t>(st.st_size) : 0;
}

std::string program_directory() {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  std::string all(path, n > 0 ? static_cast<std::size_t>(n) : 0);
  std::size_t slash = all.rfind('/');
  return slash == std::string::npos ? "." : all.substr(0, slash);
}

std::string make_directory(const std::string &parent) {
  std::string path = parent + "/efio-bench.XXXXXX";
  return mkdtemp(path.data()) ? path : "";
}

void remove_directory(const std::string &path) {
  std::error_code ignored; // what cannot be removed is left
  if (!path.empty()) std::filesystem::remove_all(path, ignored);
}

} // namespace bench

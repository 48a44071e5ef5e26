// SPDX-License-Identifier: BSD-2-Clause
// Names stay while the files are in use: some file systems sync a file without a name by doing nothing (btrfs).
#include "bench_files.hh"

#include "temporary_file.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace tool {
namespace {

constexpr std::uint64_t size_least = 1 << 20;
constexpr double resident_max = 0.02; // what may stay in memory of a file that is called cold
constexpr std::uint64_t place_size = 256 << 10, places_max = 64; // where a read looks; one page of each may come back
constexpr int nowait = 0x08;                                     // RWF_NOWAIT: newer than some headers

// For the signal handler, which must not look at a std::string that is being changed.
char to_remove[2][PATH_MAX];
volatile sig_atomic_t removable = 0;

void remove_ours() {
  for (int i = 0; i < removable; ++i) unlink(to_remove[i]);
}

void on_signal(int number) {
  remove_ours();
  signal(number, SIG_DFL);
  raise(number); // the caller sees how we ended
}

// What ends a program from outside, and what its own output can bring about; nobody catches SIGKILL.
void watch_signals() {
  for (int number : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ}) {
    struct sigaction action = {}, before;
    action.sa_handler = on_signal;
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue; // nohup(1)
    sigaction(number, &action, nullptr);
  }
}

std::string failed(const char *what, int error) { return std::string(what) + ": " + std::strerror(error); }

// The share of the file that is in memory; 1 where it cannot be seen, as by who neither owns the file nor may write it.
double resident(int fd, std::uint64_t size) {
  auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t pages = (size + page - 1) / page, there = 0;
  void *at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return 1;
  std::vector<unsigned char> in(pages);
  if (mincore(at, size, in.data()) == 0)
    there = static_cast<std::uint64_t>(std::count_if(in.begin(), in.end(), [](unsigned char c) { return c & 1; }));
  else
    there = pages;
  munmap(at, size);
  return static_cast<double>(there) / static_cast<double>(pages);
}

// The same by reads here and there that do not wait; negative where they cannot be made.
double resident_by_reading(int fd, std::uint64_t size) {
  std::uint64_t places = std::clamp<std::uint64_t>(size / place_size, 1, places_max), there = 0;
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); // the kernel begins to fetch what misses: no more than that
  for (std::uint64_t i = 0; i < places; ++i) {
    char byte;
    iovec v{&byte, 1};
    ssize_t n = preadv2(fd, &v, 1, static_cast<off_t>(size / places * i), nowait);
    if (n < 0 && errno != EAGAIN) return -1;
    if (n >= 0) ++there;
  }
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return static_cast<double>(there) / static_cast<double>(places);
}

std::string enough_space(const std::string &directory, std::uint64_t wanted) {
  struct statvfs fs;
  if (statvfs(directory.c_str(), &fs) != 0) return failed("statvfs", errno);
  std::uint64_t free = static_cast<std::uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (free >= wanted) return "";
  return "not enough space: " + std::to_string(wanted >> 20) + " MiB are needed, " + std::to_string(free >> 20) +
         " are free";
}

} // namespace

bench_files::~bench_files() {
  if (!ours_) return;
  remove_ours();
  removable = 0;
}

std::string bench_files::make(const std::string &directory, std::string *name) {
  std::string path = directory + "/efio-bench-XXXXXX";
  if (path.size() >= sizeof to_remove[0]) return failed(directory.c_str(), ENAMETOOLONG);
  sigset_t all, before; // a signal comes when there is no file, or when its name is known
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int fd = mkostemp(path.data(), O_CLOEXEC), error = errno;
  if (fd >= 0) {
    std::memcpy(to_remove[removable], path.c_str(), path.size() + 1);
    removable = removable + 1;
    close(fd);
    *name = path;
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return fd >= 0 ? "" : failed(directory.c_str(), error);
}

std::string bench_files::take_existing(std::uint64_t size_max) {
  int fd = open(read_name_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) return failed(read_name_.c_str(), errno);
  close(fd);
  size_ = std::min(static_cast<std::uint64_t>(st.st_size), size_max);
  return size_ >= size_least ? "" : read_name_ + ": too small, 1 MiB is needed";
}

std::string bench_files::prepare(const std::string &path, std::uint64_t size) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return failed(path.c_str(), errno);
  if (S_ISREG(st.st_mode)) {
    read_name_ = path;
    return take_existing(size);
  }
  if (!S_ISDIR(st.st_mode)) return path + ": neither a directory nor a regular file";
  watch_signals();
  ours_ = true;
  std::string error = make(path, &read_name_);
  if (error.empty()) error = make(path, &write_name_);
  if (error.empty()) error = enough_space(path, size * 2); // a directory that may not be written has none, too
  if (!error.empty()) return error;
  size_ = write_max_ = size;
  int fd = open(read_name_.c_str(), O_RDWR | O_CLOEXEC);
  int filled = fd < 0 ? -errno : fill(fd, 0, size);
  if (filled == 0 && fdatasync(fd) != 0) filled = -errno;
  if (fd >= 0) close(fd);
  return filled == 0 ? "" : failed(read_name_.c_str(), -filled);
}

std::string bench_files::make_cold() const {
  int fd = open(read_name_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(read_name_.c_str(), errno);
  double share = 1;
  // Pages that were written a moment ago may be on lists of other processors, and stay.
  for (int tries = 0; tries < 40 && share > resident_max; ++tries) {
    if (tries > 0) usleep(50'000);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    share = resident(fd, size_);
    if (share == 1) share = resident_by_reading(fd, size_);
  }
  close(fd);
  if (share < 0) return "the file does not leave memory, or it cannot be seen that it does";
  if (share <= resident_max) return "";
  return "the file does not leave memory, " + std::to_string(static_cast<int>(share * 100)) + " % of it are there";
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// Mounting, freezing and, whatever happens, thawing.
#include "stalled_disk.hh"

#include "harness.hh"
#include "timing.hh"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

namespace bench {
namespace {

constexpr off_t image_bytes = 1 << 30; // sparse
constexpr long poll_ns = 1'000'000;
constexpr int not_found_status = 127;

// Runs a command without its output; its status.
int run_command(const char *const *words) {
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
    execvp(words[0], const_cast<char *const *>(words));
    _exit(not_found_status);
  }
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : not_found_status;
}

} // namespace

std::string make_image(const std::string &path) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0 && ftruncate(fd, image_bytes) == 0;
  close(fd);
  if (!good) return "no room for a file system";
  const char *words[] = {"mkfs.ext4", "-q", "-F", path.c_str(), nullptr};
  return run_command(words) == 0 ? "" : "mkfs.ext4 does not work here";
}

enum class phase { idle, asked, frozen, thawed, failed };

struct stalled_disk::state {
  std::atomic<phase> now{phase::idle};
  std::atomic<bool> end{false};
  double seconds = 0; // published by now
  int error = 0;      // the same

  [[noreturn]] void be_freezer(int fd, pid_t parent);
  void freeze(int fd, pid_t parent);
};

// Nobody can thaw what was frozen if this process ends too early: signals that are sent to all leave it alone, and it
// lives longer than the measurement.
void stalled_disk::state::be_freezer(int fd, pid_t parent) {
  for (int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) signal(s, SIG_IGN);
  alarm(0);
  while (!end.load(std::memory_order_acquire) && getppid() == parent) {          // pairs with ~stalled_disk
    if (now.load(std::memory_order_acquire) == phase::asked) freeze(fd, parent); // pairs with stall
    pause_ns(poll_ns);
  }
  _exit(0);
}

void stalled_disk::state::freeze(int fd, pid_t parent) {
  if (ioctl(fd, FIFREEZE, 0) != 0) {
    error = errno;
    now.store(phase::failed, std::memory_order_release); // pairs with over
    return;
  }
  now.store(phase::frozen, std::memory_order_release); // pairs with frozen
  for (std::int64_t until = now_ns() + static_cast<std::int64_t>(seconds * 1e9); now_ns() < until;) {
    if (end.load(std::memory_order_acquire) || getppid() != parent) break;
    pause_ns(poll_ns);
  }
  while (ioctl(fd, FITHAW, 0) != 0 && errno == EINTR) {}
  now.store(phase::thawed, std::memory_order_release); // pairs with over
}

stalled_disk::stalled_disk(const std::string &image, const std::string &at) : at_(at) {
  if (geteuid() != 0) skip("freezing a disk needs root");
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    skip("no mount namespace of its own: %s", std::strerror(errno));
  mkdir(at.c_str(), 0700);
  const char *words[] = {"mount", "-o", "loop", "-t", "ext4", image.c_str(), at.c_str(), nullptr};
  if (run_command(words) != 0) skip("an ext4 in a file cannot be mounted (no loop device?)");
  void *memory = mmap(nullptr, sizeof(state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int fd = open(at.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (memory == MAP_FAILED || fd < 0) fail("%s: %s", at.c_str(), std::strerror(errno));
  state_ = new (memory) state;
  pid_t me = getpid();
  freezer_ = fork();
  if (freezer_ < 0) fail("no process");
  if (freezer_ == 0) state_->be_freezer(fd, me);
  close(fd);
}

stalled_disk::~stalled_disk() {
  state_->end.store(true, std::memory_order_release); // pairs with be_freezer and freeze
  while (waitpid(freezer_, nullptr, 0) < 0 && errno == EINTR) {}
  munmap(state_, sizeof *state_);
  umount(at_.c_str()); // what is left goes with the namespace
}

void stalled_disk::stall(double seconds) {
  state_->seconds = seconds;
  state_->now.store(phase::asked, std::memory_order_release); // pairs with be_freezer
}

bool stalled_disk::frozen() const {
  return state_->now.load(std::memory_order_acquire) == phase::frozen; // pairs with freeze
}

bool stalled_disk::over() const {
  phase is = state_->now.load(std::memory_order_acquire); // pairs with freeze
  if (is == phase::failed) fail("FIFREEZE: %s", std::strerror(state_->error));
  return is == phase::thawed;
}

} // namespace bench

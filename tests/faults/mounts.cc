// SPDX-License-Identifier: BSD-2-Clause
// A file system under open files is unmounted lazily, becomes read-only, or is shut down: mounts PLACE DEVICE RAW, with
// an empty ext4 on DEVICE, and RAW a device to be written itself. What was opened works on as long as the kernel lets
// it; then its errno is told and sticks. The controls must be found.
#include "child.hh"

#include <sys/ioctl.h>
#include <sys/mount.h>

#include <atomic>

namespace {

using child::pattern;

std::string device, raw_device;

void mount_it(unsigned long flags = 0) {
  MUST(::mount(device.c_str(), child::place.c_str(), "ext4", flags, "errors=remount-ro") == 0);
}
std::string in_sysfs() { return "/sys/fs/ext4" + device.substr(device.rfind('/')); }

// The library gives every descriptor back: the kernel lets go of the disk.
void await_release() {
  for (int i = 0; i < 5000 && ::access(in_sysfs().c_str(), F_OK) == 0; ++i) ::usleep(1000);
  MUST(::access(in_sysfs().c_str(), F_OK) != 0);
}
void unmount_it() {
  for (int i = 0; i < 5000 && ::umount2(child::place.c_str(), 0) != 0; ++i) {
    MUST(errno == EBUSY); // a descriptor is closed in the background
    ::usleep(1000);
  }
  await_release();
}

int open_now(const std::string &name, int flags, ef_port *p, ef_file_options o = {}) {
  const int fd = child::open(name, flags, o, p);
  MUST(fd >= 0 && ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  return fd;
}

// Of a request: the count, or a negated errno.
ssize_t over(ef_port *p, ef_request &r, ssize_t answer) {
  if (answer >= 0) return answer;
  if (errno != EINPROGRESS) return -errno;
  for (int i = 0; i < 20000; ++i) {
    ef_event e{};
    if (ef_port_next(p, &e, 1) == 1 && e.events == EF_REQUEST && e.data == &r) return r.error ? -r.error : r.result;
    if (e.events == 0) ::usleep(1000);
  }
  MUST(!"a request is over");
  return 0;
}

// ---- Unmounted lazily, in the middle of everything

void lazy_unmount_loses_nothing() {
  mount_it();
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  child::requests r(p);
  child::put("read", pattern(3000000));
  const int log = open_now("log", O_WRONLY | O_CREAT, p), in = open_now("read", O_RDONLY, p);
  std::atomic<bool> enough{false};
  std::string all;
  std::thread writer([&] {
    for (int i = 0; !enough; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      child::write(log, line);
      all += line;
      if (i % 64 == 0) MUST(ef_wait(log, EF_SYNC, 20000) == EF_SYNC);
    }
  });
  ::usleep(50000);
  r.begin();
  MUST(::umount2(child::place.c_str(), MNT_DETACH) == 0);
  MUST(r.end() == child::requests::count);
  MUST(child::read_all(in) == pattern(3000000));
  const int gone = child::open("read", O_RDONLY, {}, p);
  MUST(ef_wait(gone, EF_OPEN, 20000) == EF_OPEN && ef_close(gone) < 0 && errno == ENOENT);
  ::usleep(50000);
  enough = true;
  writer.join();
  MUST(ef_wait(log, EF_SYNC, 20000) == EF_SYNC);
  for (int fd : {log, in, r.fd()}) child::close(fd, p);
  MUST(ef_port_free(p) == 0);
  await_release();
  mount_it();
  MUST(child::contents("log") == all);
  unmount_it();
}

// ---- Read-only

// The kernel does not take it from who writes; who only reads does not notice.
void a_remount_is_refused_while_files_are_written() {
  mount_it();
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  child::put("read", pattern(300000));
  const int log = open_now("log", O_WRONLY | O_CREAT | O_TRUNC, p), in = open_now("read", O_RDONLY, p);
  child::write(log, "before ");
  MUST(::mount(nullptr, child::place.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) < 0 && errno == EBUSY);
  child::write(log, "after");
  child::close(log, p);
  int r;
  for (int i = 0; i < 5000; ++i, ::usleep(1000)) // its descriptor is closed by now, or will be in a moment
    if ((r = ::mount(nullptr, child::place.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr)) == 0) break;
  MUST(r == 0 && child::contents("log") == "before after");
  MUST(child::read_all(in) == pattern(300000));
  for (int flags : {O_WRONLY, O_RDWR, O_WRONLY | O_CREAT}) {
    const int fd = child::open(flags & O_CREAT ? "new" : "log", flags, {}, p);
    MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN && ef_write(fd, "x", 1) < 0 && errno == EROFS);
    MUST(ef_close(fd) < 0 && errno == EROFS);
  }
  child::close(in, p);
  MUST(ef_port_free(p) == 0);
  unmount_it();
}

// ---- The file system gives up

bool one_of(int error, std::initializer_list<int> all) {
  for (int e : all)
    if (e == error) return true;
  return std::printf("  errno %d\n", error), false;
}

// The first error is told once and sticks; what is in the file is a beginning of what was accepted.
void writing_ends_with(std::initializer_list<int> errors, void (*give_up)(), bool reading_goes_on) {
  mount_it();
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  child::put("read", pattern(300000));
  ef_file_options o{};
  o.flush_interval_ms = 5;
  const int log = open_now("log", O_WRONLY | O_CREAT | O_TRUNC, p, o), in = open_now("read", O_RDONLY, p),
            at = open_now("at", O_RDWR | O_CREAT, p);
  MUST(child::read_all(in) == pattern(300000));
  child::write(log, "synced ");
  MUST(ef_wait(log, EF_SYNC, 20000) == EF_SYNC);
  give_up();
  MUST(ef_write(log, "not to be written", 17) == 17);
  ef_event e{};
  for (int i = 0; i < 20000 && ef_port_next(p, &e, 1) == 0; ++i) ::usleep(1000);
  MUST(e.events == EF_ERROR && e.fd == log && one_of(e.error, errors));
  MUST(ef_write(log, "x", 1) < 0 && errno == e.error);
  MUST(ef_sync(log) < 0 && errno == e.error && ef_wait(log, EF_SYNC, 20000) < 0 && errno == e.error);
  MUST(child::stats(log).lost == 17 && child::stats(log).written == 7);
  ef_request r{};
  char b[100] = "text";
  MUST(one_of(static_cast<int>(-over(p, r, ef_pwrite(at, b, sizeof b, 0, &r))), errors));
  const ssize_t n = over(p, r, ef_pread(in, b, sizeof b, 1000, &r));
  MUST(n == sizeof b || (!reading_goes_on && n == -EIO));
  if (n > 0) MUST(std::memcmp(b, pattern(2000).data() + 1000, sizeof b) == 0);
  MUST(ef_close(log) < 0 && errno == e.error);
  child::close(in, p);
  ef_close(at);
  MUST(ef_drain(p, 20000) == 0);
  MUST(ef_port_next(p, &e, 1) == 0); // it was told once
  MUST(ef_port_free(p) == 0);
  unmount_it();
  mount_it(); // its journal is played again
  MUST(child::contents("log") == "synced ");
  unmount_it();
}

// What ext4 does when it finds itself in disorder.
void find_an_error() {
  const int fd = ::open((in_sysfs() + "/trigger_fs_error").c_str(), O_WRONLY);
  MUST(fd >= 0 && ::write(fd, "1", 1) == 1 && ::close(fd) == 0);
}
void an_error_that_makes_it_read_only_is_told() { writing_ends_with({EROFS, EIO}, find_an_error, true); }

void shut_down() {
  unsigned without_the_log = 2; // GOINGDOWN
  const int fd = ::open(child::place.c_str(), O_RDONLY);
  MUST(fd >= 0 && ::ioctl(fd, _IOR('X', 125, unsigned), &without_the_log) == 0 && ::close(fd) == 0);
}
void a_shut_down_is_told() { writing_ends_with({EIO}, shut_down, false); }

// ---- A disk without a file system

void a_block_device_is_a_file_of_fixed_length() {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  const std::string all = pattern(300000);
  off_t end = 0;
  for (int cache : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT}) {
    ef_file_options o{};
    o.size = sizeof o;
    o.cache = cache;
    const int fd = ef_openat(p, AT_FDCWD, raw_device.c_str(), O_RDWR, 0, &o);
    MUST(fd >= 0 && ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
    MUST((end = ef_seek(fd, 0, SEEK_END)) == 8 << 20);
    MUST(ef_seek(fd, end - 300000, SEEK_SET) == end - 300000);
    child::write(fd, all);
    MUST(ef_wait(fd, EF_SYNC, 20000) == EF_SYNC);
    MUST(ef_seek(fd, end - 300000, SEEK_SET) == end - 300000);
    MUST(child::read_all(fd) == all);
    ef_request r{};
    char b[100] = "text";
    MUST(over(p, r, ef_pread(fd, b, sizeof b, end - 10, &r)) == 10 && std::memcmp(b, all.data() + 299990, 10) == 0);
    MUST(over(p, r, ef_pread(fd, b, sizeof b, end, &r)) == 0);
    MUST(over(p, r, ef_pwrite(fd, b, sizeof b, end, &r)) == -ENOSPC);
    MUST(over(p, r, ef_pwrite(fd, b, 20, end - 10, &r)) == 10);
    MUST(ef_seek(fd, end, SEEK_SET) == end);
    child::write(fd, "behind it"); // as on a full disk
    MUST(ef_wait(fd, EF_SYNC, 20000) < 0 && errno == ENOSPC);
    MUST(ef_close(fd) == 0 && ef_drain(p, 20000) == 0);
  }
  for (ef_event e; ef_port_next(p, &e, 1) == 1;) MUST(e.events & EF_ERROR && e.error == ENOSPC);
  MUST(ef_port_free(p) == 0);
}

// ---- Controls

void control_still_held() { // a descriptor that is left
  mount_it();
  MUST(::open(child::path("held").c_str(), O_WRONLY | O_CREAT, 0600) >= 0);
  MUST(::umount2(child::place.c_str(), MNT_DETACH) == 0);
  await_release();
}
void control_nothing_gives_up() {
  ::alarm(2);
  writing_ends_with(
      {EROFS}, [] {}, true);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  child::place = argv[1];
  device = argv[2];
  raw_device = argv[3];
  stress::seed();
  const child::check controls[] = {{"control_still_held", control_still_held},
                                   {"control_nothing_gives_up", control_nothing_gives_up}};
  const child::check all[] = {
      {"lazy_unmount_loses_nothing", lazy_unmount_loses_nothing},
      {"a_remount_is_refused_while_files_are_written", a_remount_is_refused_while_files_are_written},
      {"an_error_that_makes_it_read_only_is_told", an_error_that_makes_it_read_only_is_told},
      {"a_shut_down_is_told", a_shut_down_is_told},
      {"a_block_device_is_a_file_of_fixed_length", a_block_device_is_a_file_of_fixed_length},
  };
  std::printf("controls, which must fail:\n");
  const bool caught = child::run_all(controls, 30) == 2;
  while (::umount2(child::place.c_str(), MNT_DETACH) == 0) {} // what they have left
  std::printf("mounts:\n");
  const bool good = child::run_all(all, 60) == 0;
  while (::umount2(child::place.c_str(), MNT_DETACH) == 0) {}
  return good && caught ? 0 : 1;
}

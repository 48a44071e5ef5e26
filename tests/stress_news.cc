// SPDX-License-Identifier: BSD-2-Clause
// EAGAIN and its event, over and over: files read through a port while the faulty engine misses, delays, shortens and
// reorders. Each EAGAIN has exactly one event, none is lost, no event comes unasked, and each byte is the right one.
#include "faulty.hh"

#include <efio.h>

#include <poll.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr int files = 8, watchdog_ms = 5000;
constexpr long bytes = 1 << 20;

unsigned char byte_at(long i) { return static_cast<unsigned char>(static_cast<std::uint64_t>(i) * 2654435761u >> 13); }

void check(bool good, const char *what, long i) {
  if (good) return;
  std::printf("%s: %ld (errno %d)\n", what, i, errno);
  std::exit(1);
}

struct one_file {
  int fd = -1;
  long position = 0;
  bool waiting = false;
};

struct run {
  ef_port *port = ef_port_new(nullptr);
  one_file file[files];
  long eagains = 0, events = 0;

  bool refused(ssize_t r, one_file &f, const char *what) {
    if (r >= 0) return false;
    check(errno == EAGAIN, what, f.fd);
    ++eagains;
    return f.waiting = true;
  }

  void turn(one_file &f) {
    if (faulty::random32() % 8 == 0) {
      long to = faulty::random32() % bytes;
      if (refused(ef_seek(f.fd, to, SEEK_SET), f, "seek")) return;
      f.position = to;
    }
    unsigned char b[5000];
    ssize_t r = ef_read(f.fd, b, 1 + faulty::random32() % sizeof b);
    if (refused(r, f, "read")) return;
    if (r == 0) {
      check(f.position == bytes, "end of file before the end", f.position);
      check(ef_seek(f.fd, 0, SEEK_SET) == 0, "seek to the start", 0);
      f.position = 0;
    }
    for (ssize_t k = 0; k < r; ++k) check(b[k] == byte_at(f.position + k), "wrong byte", f.position + k);
    f.position += r;
  }

  bool all_wait() const {
    for (const one_file &f : file)
      if (!f.waiting) return false;
    return true;
  }

  void take(int timeout_ms) {
    pollfd q{ef_port_fd(port), POLLIN, 0};
    check(::poll(&q, 1, timeout_ms) > 0 || timeout_ms == 0, "a lost event, after so many", events);
    ef_event e[4];
    int n;
    do {
      n = ef_port_next(port, e, 4);
      for (int k = 0; k < n; ++k) {
        auto *f = static_cast<one_file *>(e[k].data);
        check(f->waiting && e[k].events == EF_READ && e[k].fd == f->fd, "an event nobody waits for", e[k].events);
        f->waiting = false;
        ++events;
      }
    } while (n == 4);
  }

  void go(const std::string &path, long cycles) {
    for (one_file &f : file) {
      f.fd = ef_openat(port, AT_FDCWD, path.c_str(), O_RDONLY, 0, nullptr);
      ef_watch(f.fd, 0, &f);
    }
    while (eagains < cycles) {
      for (one_file &f : file)
        if (!f.waiting) turn(f);
      if (all_wait() || faulty::random32() % 4 == 0) take(all_wait() ? watchdog_ms : 0);
    }
    while (events < eagains) take(watchdog_ms);
    for (one_file &f : file) check(ef_close(f.fd) == 0, "close", f.fd);
    check(ef_drain(port, watchdog_ms) == 0, "drain", 0);
    take(0);
    check(events == eagains, "events beyond the EAGAINs", events - eagains);
    check(ef_port_free(port) == 0, "port free", 0);
  }
};

} // namespace

int main() {
  faulty::install();
  faulty::now.memory_shown = false;
  const char *t = std::getenv("TMPDIR");
  std::string path = std::string(t ? t : "/tmp") + "/efio-news-XXXXXX";
  int os = ::mkstemp(path.data());
  std::vector<unsigned char> all(bytes);
  for (long i = 0; i < bytes; ++i) all[static_cast<std::size_t>(i)] = byte_at(i);
  check(::write(os, all.data(), all.size()) == bytes, "the file", 0);
  ::close(os);
  const int rounds = std::getenv("EFIO_LONG") ? 20 : 2;
  long events = 0;
  for (int round = 0; round < rounds; ++round) {
    faulty::now.nowait_none = round % 4 == 3;
    faulty::now.nowait_miss = 1024;
    faulty::now.short_read = 300;
    faulty::now.delay = 100;
    faulty::now.delay_us = 60;
    run r;
    r.go(path, std::getenv("EFIO_LONG") ? 50000 : 5000);
    events += r.events;
  }
  ::unlink(path.c_str());
  std::printf("%ld events for as many EAGAINs; %lu misses, %lu short counts, %lu delays\n", events,
              faulty::now.misses.load(), faulty::now.shorts.load(), faulty::now.delays.load());
  return 0;
}

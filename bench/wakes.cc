// SPDX-License-Identifier: BSD-2-Clause
// A busy port: how many wake-ups of the loop its events cost.
#include "harness.hh"

#include "timing.hh"

#include <efio.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace bench {
namespace {

constexpr int files = 64, events_a_call = 64, writes_a_turn = 16;
constexpr std::size_t block_bytes = 16384, file_bytes = 1 << 20;

struct busy_file {
  int fd;
  bool writable;
  std::size_t written;
};

// A loop that keeps all its files' budgets full: every write goes on until EAGAIN, every event brings the next ones.
class busy_loop {
 public:
  busy_loop(const std::string &directory, bool by_function) {
    ef_port_options options{};
    options.size = sizeof options;
    if (by_function) {
      bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      options.wake = [](void *arg) { eventfd_write(*static_cast<int *>(arg), 1); };
      options.arg = &bell_;
    }
    port_ = ef_port_new(&options);
    pollable_ = by_function ? bell_ : ef_port_fd(port_);
    if (!port_ || pollable_ < 0) fail("port: %s", std::strerror(errno));
    for (int i = 0; i < files; ++i) open_one(directory + "/busy" + std::to_string(i));
  }

  void turn() {
    pollfd p{pollable_, POLLIN, 0};
    if (poll(&p, 1, any_writable() ? 0 : 10'000) == 0 && !any_writable()) fail("no event in 10 s");
    eventfd_t rings;
    if (bell_ >= 0 && p.revents) eventfd_read(bell_, &rings);
    if (p.revents) take_events();
    for (busy_file &f : files_)
      if (f.writable) fill(&f);
  }

  ef_port_counters counters() const {
    ef_port_counters c{};
    c.size = sizeof c;
    if (ef_port_stats(port_, &c) < 0) fail("ef_port_stats: %s", std::strerror(errno));
    return c;
  }
  double batches() const { return batches_; }

  // The bytes of every event that came have been written, or an event was lost.
  void finish() {
    for (busy_file &f : files_) {
      ef_flush(f.fd);
      ef_close(f.fd);
    }
    if (ef_drain(port_, 10'000) < 0) fail("ef_drain: %s", std::strerror(errno));
  }

 private:
  void open_one(const std::string &path) {
    ef_file_options options{};
    options.size = sizeof options;
    options.write_buffer_max = 128 * 1024;
    int fd = ef_openat(port_, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600, &options);
    if (fd < 0 || ef_wait(fd, EF_OPEN, 10'000) <= 0) fail("ef_openat: %s", std::strerror(errno));
    files_.push_back({fd, true, 0});
    unlink(path.c_str());
    if (ef_watch(fd, 0, reinterpret_cast<void *>(files_.size() - 1)) < 0) fail("ef_watch: %s", std::strerror(errno));
  }

  bool any_writable() const {
    for (const busy_file &f : files_)
      if (f.writable) return true;
    return false;
  }

  void take_events() {
    ef_event events[events_a_call];
    int n;
    do {
      n = ef_port_next(port_, events, events_a_call);
      if (n < 0) fail("ef_port_next: %s", std::strerror(errno));
      if (n > 0) ++batches_;
      for (int i = 0; i < n; ++i)
        if (events[i].events & EF_WRITE) files_[reinterpret_cast<std::size_t>(events[i].data)].writable = true;
    } while (n == events_a_call);
  }

  void fill(busy_file *f) {
    static const char block[block_bytes] = {};
    for (int i = 0; i < writes_a_turn; ++i) {
      ssize_t r = ef_write(f->fd, block, sizeof block);
      if (r < 0 && errno != EAGAIN) fail("ef_write: %s", std::strerror(errno));
      f->writable = r > 0;
      if (r < 0) return;
      f->written += static_cast<std::size_t>(r);
      if (f->written % file_bytes == 0) ef_seek(f->fd, 0, SEEK_SET); // the file stays small
    }
  }

  ef_port *port_;
  int bell_ = -1, pollable_;
  std::vector<busy_file> files_;
  double batches_ = 0;
};

void measure(const std::string &directory, bool by_function, double seconds, double *values) {
  busy_loop loop(directory, by_function);
  for (int i = 0; i < 50; ++i) loop.turn();
  ef_port_counters before = loop.counters();
  double batches = loop.batches();
  std::int64_t begin = now_ns(), end = begin + static_cast<std::int64_t>(seconds * 1e9);
  while (now_ns() < end) loop.turn();
  double passed = static_cast<double>(now_ns() - begin) / 1e9;
  ef_port_counters after = loop.counters();
  double events = static_cast<double>(after.events - before.events);
  values[0] = static_cast<double>(after.wakes - before.wakes) / events;
  values[1] = events / (loop.batches() - batches);
  values[2] = events / passed / 1e3;
  loop.finish();
}

void add_rows(const options &o, std::vector<row> *rows) {
  row r{"wakes",
        "64 files of one port, their budgets of 128 KiB kept full",
        {{"wake-ups/event", 3}, {"events/batch", 1}, {"1000 events/s", 1}},
        {},
        ""};
  const std::string directory = o.memory_directory.empty() ? o.directory : o.memory_directory;
  r.variants = {{"wake function, eventfd", [=](double s, double *values) { measure(directory, true, s, values); }},
                {"ef_port_fd", [=](double s, double *values) { measure(directory, false, s, values); }}};
  rows->push_back(std::move(r));
}

const family wakes(60, add_rows);

} // namespace
} // namespace bench

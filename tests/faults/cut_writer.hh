// SPDX-License-Identifier: BSD-2-Clause
// The process that writes until the power is cut: threads that write lines through the C interface, and note in shared
// memory what the library has acknowledged.
#ifndef EF_TESTS_FAULTS_CUT_WRITER_HH
#define EF_TESTS_FAULTS_CUT_WRITER_HH

#include "cut_plan.hh"
#include "sys.hh"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <deque>
#include <thread>
#include <vector>

namespace cut {

class writer {
 public:
  writer(const plan &p, shared &s, const std::string &directory) : p_(p), s_(s), directory_(directory) {}

  // Until it is killed.
  [[noreturn]] void run() {
    open_files();
    for (unsigned t = 0; t < p_.threads; ++t) std::thread([this, t] { write_lines(t); }).detach();
    if (p_.renames == renaming::reopened) std::thread([this] { rename_and_reopen(); }).detach();
    if (p_.by == way::event) take_events();
    if (p_.by == way::dsync || p_.by == way::flushed) watch_written();
    rest();
  }

 private:
  struct waiting {
    unsigned file;
    std::uint32_t number;
    std::uint64_t sequence;
  };

  [[noreturn]] static void rest() {
    for (;;) ::pause();
  }
  [[noreturn]] void troubled(int error) {
    int none = 0;
    s_.trouble.compare_exchange_strong(none, error ? error : ENODATA, std::memory_order_relaxed);
    rest();
  }
  void check(bool good) {
    if (!good) troubled(errno);
  }
  std::string path(unsigned file) const { return directory_ + "/f" + std::to_string(file); }

  static int name_part(void *, const char *path, unsigned long count, char *to, std::size_t size) {
    std::snprintf(to, size, "%s.%lu", path, count);
    return 0;
  }

  void open_files() {
    check((port_ = ef_port_new(nullptr)) != nullptr);
    check(ef_port_fd(port_) >= 0);
    ef_file_options o = p_.options;
    if (p_.renames == renaming::named) o.rotate = name_part;
    for (unsigned f = 0; f < p_.files; ++f)
      check((fds_[f] = ef_openat(port_, AT_FDCWD, path(f).c_str(), p_.flags, 0644, &o)) >= 0);
  }

  std::uint64_t put(unsigned file, const std::string &text) {
    std::uint64_t sequence = 0;
    while (ef_write_seq(fds_[file], text.data(), text.size(), &sequence) < 0) {
      check(errno == EAGAIN);
      check(ef_wait(fds_[file], EF_WRITE, -1) >= 0);
    }
    return sequence;
  }

  void acknowledge(unsigned file, unsigned thread, std::uint32_t number) {
    s_.acked[file][thread].store(number, std::memory_order_release); // pairs with the one who cuts
  }

  // Those at the front that are durable by now.
  void acknowledge_some(std::deque<waiting> &all, unsigned thread) {
    while (!all.empty()) {
      const waiting &w = all.front();
      const int r = ef_synced_up_to(fds_[w.file], w.sequence);
      check(r >= 0);
      if (r == 0) return;
      acknowledge(w.file, thread, w.number);
      all.pop_front();
    }
  }

  void acknowledge_all(std::deque<waiting> &all, unsigned thread, bool wait, bool ask) {
    for (const waiting &w : all) {
      if (wait) check(ef_wait(fds_[w.file], EF_SYNC, -1) == EF_SYNC);
      if (wait) acknowledge(w.file, thread, w.number);
      if (ask) check(ef_sync(fds_[w.file]) == 0);
    }
    if (wait) return all.clear();
    for (; !all.empty(); acknowledge_some(all, thread)) ::usleep(30);
  }

  void write_lines(unsigned thread) {
    stress::random dice(p_.seed + thread);
    const bool by_wait = p_.by == way::wait || (p_.by == way::mixed && thread % 2);
    const bool by_sequence = p_.by == way::sequence || p_.by == way::interval || (p_.by == way::mixed && !by_wait);
    const bool ask = by_sequence && !p_.options.durable_interval_ms;
    std::deque<waiting> all;
    std::uint32_t numbers[files_most] = {};
    while (bytes_.load(std::memory_order_relaxed) < p_.bytes_most) {
      const unsigned file = static_cast<unsigned>(p_.hop ? dice.below(p_.files) : thread % p_.files);
      const std::uint32_t number = ++numbers[file];
      const std::string text = line(p_, file, thread, number);
      bytes_.fetch_add(text.size(), std::memory_order_relaxed);
      const std::uint64_t sequence = put(file, text);
      s_.said[file][thread].store(number, std::memory_order_release); // pairs with the loads of note_said
      if (p_.by == way::accepted) acknowledge(file, thread, number);
      if (by_wait || by_sequence) all.push_back({file, number, sequence});
      if (by_sequence) acknowledge_some(all, thread);
      if (all.size() >= p_.lines_at_once) acknowledge_all(all, thread, by_wait, ask);
      if (p_.pause_us) ::usleep(static_cast<useconds_t>(dice.below(p_.pause_us)));
    }
    acknowledge_all(all, thread, by_wait, ask);
    rest();
  }

  void rename_and_reopen() {
    stress::random dice(p_.seed + threads_most);
    for (unsigned count = 1;; ++count) {
      ::usleep(static_cast<useconds_t>(dice.below(3000)));
      const unsigned f = static_cast<unsigned>(dice.below(p_.files));
      check(ef_wait(fds_[f], EF_OPEN, -1) == EF_OPEN);
      check(::rename(path(f).c_str(), (path(f) + "." + std::to_string(count)).c_str()) == 0);
      check(ef_reopen(fds_[f]) == 0);
    }
  }

  using numbers = std::uint32_t[threads_most];
  void note_said(unsigned file, numbers &out) {
    for (unsigned t = 0; t < p_.threads; ++t) out[t] = s_.said[file][t].load(std::memory_order_acquire);
  }
  void acknowledge_noted(unsigned file, const numbers &noted) {
    for (unsigned t = 0; t < p_.threads; ++t) acknowledge(file, t, noted[t]);
  }

  // All files are synced at once, again and again; each event acknowledges what was accepted before.
  [[noreturn]] void take_events() {
    numbers noted[files_most];
    for (;;) {
      for (unsigned f = 0; f < p_.files; ++f) {
        note_said(f, noted[f]);
        check(ef_sync(fds_[f]) == 0);
      }
      for (unsigned left = p_.files; left > 0;) {
        pollfd q{ef_port_fd(port_), POLLIN, 0};
        ::poll(&q, 1, 1000);
        ef_event e[8];
        const int n = ef_port_next(port_, e, 8);
        check(n >= 0);
        for (int i = 0; i < n; ++i) left -= take(e[i], noted);
      }
      if (p_.pause_us) ::usleep(p_.pause_us);
    }
  }
  unsigned take(const ef_event &e, const numbers *noted) {
    if (e.error) troubled(e.error);
    if (!(e.events & EF_SYNC)) return 0;
    for (unsigned f = 0; f < p_.files; ++f)
      if (fds_[f] == e.fd) acknowledge_noted(f, noted[f]);
    return 1;
  }

  // Of a file opened with O_DSYNC, what the kernel has taken is durable. Without it, it is not: the control.
  [[noreturn]] void watch_written() {
    for (numbers noted;;)
      for (unsigned f = 0; f < p_.files; ++f) {
        ef_file_counters c{};
        c.size = sizeof c;
        note_said(f, noted);
        check(ef_file_stats(fds_[f], &c) == 0);
        const std::uint64_t wanted = c.accepted;
        check(ef_flush(fds_[f]) == 0);
        for (; c.written < wanted; check(ef_file_stats(fds_[f], &c) == 0)) ::usleep(20);
        acknowledge_noted(f, noted);
      }
  }

  const plan &p_;
  shared &s_;
  const std::string directory_;
  ef_port *port_ = nullptr;
  int fds_[files_most] = {};
  std::atomic<std::uint64_t> bytes_{0};
};

// The disk: a sync does nothing for a liar, and takes its time before or behind what it really does, so that others
// write and ask meanwhile.
inline bool disk_lies;
inline unsigned disk_slow_us;
inline int sync_of_disk(int fd, int (*call)(int)) {
  if (disk_lies) return 0;
  if (!disk_slow_us) return call(fd);
  static std::atomic<unsigned> turns{0};
  const unsigned turn = turns.fetch_add(1, std::memory_order_relaxed), us = turn * 7919 % (disk_slow_us + 1);
  if (turn % 2) ::usleep(us);
  const int r = call(fd);
  if (turn % 2 == 0) ::usleep(us);
  return r;
}

// The child of a fork: it does not outlive its parent.
[[noreturn]] inline void write_until_killed(const plan &p, shared &s, const std::string &directory) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setenv("EFIO_ENGINE", p.uring ? "uring" : "threads", 1);
  disk_lies = p.liar;
  disk_slow_us = p.slow_us;
  static ef::sys_table table = ef::sys_kernel;
  table.fdatasync = [](int fd) { return sync_of_disk(fd, ef::sys_kernel.fdatasync); };
  table.sync_system = [](int fd) { return sync_of_disk(fd, ef::sys_kernel.sync_system); };
  if (p.liar) table.sync_parent = [](int, const char *) { return 0; };
  ef::sys = &table;
  writer(p, s, directory).run();
}

} // namespace cut
#endif

// SPDX-License-Identifier: BSD-2-Clause
// The life of a log: many threads write lines while it is renamed and opened anew every few milliseconds and rotated
// every MiB, with delays and short writes; two processes append to one log. Each line is there once, whole, and in its
// thread's order over the files one after another.
#include "faulty.hh"

#include "core_stress.hh"

#include <memory>
#include <string>

namespace {

using stress::require;

constexpr int threads = 4; // or processes

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Line i of a thread: its length and every byte follow from the two numbers.
constexpr std::size_t line_least = 24, line_most = 120;
std::size_t make_line(int thread, long i, char *out) {
  const std::uint64_t s = mix(static_cast<std::uint64_t>(thread) << 40 | static_cast<std::uint64_t>(i) | 1ull << 60);
  const std::size_t n = line_least + s % (line_most - line_least + 1);
  const int head = std::snprintf(out, line_least, "%03d %010ld ", thread, i);
  for (std::size_t k = static_cast<std::size_t>(head); k < n - 1; ++k) out[k] = static_cast<char>('a' + (s + k) % 26);
  out[n - 1] = '\n';
  return n;
}

void put(int fd, const char *b, std::size_t n) {
  for (ssize_t r; (r = ef_write(fd, b, n)) != static_cast<ssize_t>(n);) {
    require(r == -1 && errno == EAGAIN, "a line is taken whole or refused with EAGAIN");
    require(ef_wait(fd, EF_WRITE, core::patience_ms) == EF_WRITE, "room comes");
  }
}

// What is wrong with the files one after another; empty: nothing.
const char *verdict(const std::vector<std::string> &files, long lines) {
  long next[threads] = {};
  char want[line_most + 1];
  for (const std::string &path : files) {
    const std::string all = core::contents(path);
    for (std::size_t at = 0; at < all.size();) {
      char *end;
      const long thread = std::strtol(all.c_str() + at, &end, 10), i = std::strtol(end, nullptr, 10);
      if (thread < 0 || thread >= threads) return "a line's head is torn";
      if (i != next[thread]) return "a line is out of order, lost, or there twice";
      const std::size_t n = make_line(static_cast<int>(thread), i, want);
      if (all.compare(at, n, want, n) != 0) return "a line is torn";
      at += n;
      next[thread] = i + 1;
    }
  }
  for (long n : next)
    if (n != lines) return "lines are missing";
  return "";
}
void check(const std::vector<std::string> &files, long lines) {
  const char *wrong = verdict(files, lines);
  require(!*wrong, wrong);
}

std::string numbered(const std::string &log, long n) { return log + "." + std::to_string(n); }

struct naming {
  std::string log;
  std::atomic<unsigned long> next{0};
};
int next_name(void *arg, const char *path, unsigned long, char *to, std::size_t size) {
  auto *n = static_cast<naming *>(arg);
  std::snprintf(to, size, "%s.%lu", path, n->next.fetch_add(1) + 1);
  return 0;
}

std::vector<std::string> files_of(const std::string &log, unsigned long count) {
  std::vector<std::string> all;
  for (unsigned long i = 1; i <= count; ++i) all.push_back(numbered(log, i));
  all.push_back(log);
  return all;
}

void write_lines(int fd, int thread, long lines) {
  char b[line_most + 1];
  for (long i = 0; i < lines; ++i) put(fd, b, make_line(thread, i, b));
}

constexpr std::uint64_t file_most = 1 << 20;

// Renaming by the host, and ef_reopen.
void renamed_by_the_host(const std::string &log, int flags, int order, long lines) {
  ef_file_options o{};
  o.order = order;
  int fd = core::open(log, flags, o);
  std::atomic<bool> over{false};
  unsigned long count = 0;
  std::thread host([&] {
    for (; !over || count < 4; ::usleep(3000)) {
      if (::rename(log.c_str(), numbered(log, static_cast<long>(count) + 1).c_str()) != 0) continue; // not there yet
      ++count;
      require(ef_reopen(fd) == 0, "ef_reopen");
      if (count % 4 == 0) require(ef_reopen(fd) == 0, "again, at once");
      if (count % 8 == 0) require(ef_wait(fd, EF_SYNC, core::patience_ms) == EF_SYNC, "a sync over several files");
    }
  });
  stress::together(threads, [&](int t, stress::random &) { write_lines(fd, t, lines); });
  over = true;
  host.join();
  core::close(fd);
  std::printf("  %lu renamed, %s\n", count, flags & O_APPEND ? "O_APPEND" : "at our offset");
  check(files_of(log, count), lines);
  for (const std::string &f : files_of(log, count)) ::unlink(f.c_str());
}

// Rotation by length, and ef_reopen of the same file in between.
void rotated_by_length(const std::string &log, int flags, int order, long lines) {
  naming names{log};
  ef_file_options o{};
  o.order = order;
  o.rotate_bytes = file_most;
  o.rotate = next_name;
  o.rotate_arg = &names;
  int fd = core::open(log, flags, o);
  std::atomic<bool> over{false};
  std::thread host([&] {
    for (; !over; ::usleep(3000)) require(ef_reopen(fd) == 0, "ef_reopen");
  });
  stress::together(threads, [&](int t, stress::random &) { write_lines(fd, t, lines); });
  over = true;
  host.join();
  core::close(fd);
  const auto files = files_of(log, names.next);
  std::printf("  %lu rotated, %s\n", names.next.load(), flags & O_APPEND ? "O_APPEND" : "at our offset");
  check(files, lines);
  for (const std::string &f : files) {
    const std::size_t size = core::contents(f).size();
    require(size <= file_most && (size > file_most - line_most || f == log), "each file is as long as it may be");
  }
  // The check itself: a line taken out is missed, a byte changed is found.
  std::string all = core::contents(files[0]);
  core::put(files[0], all.substr(all.find('\n') + 1));
  require(*verdict(files, lines), "a missing line is found");
  ++all[all.size() / 2];
  core::put(files[0], all);
  require(*verdict(files, lines), "a changed byte is found");
  for (const std::string &f : files) ::unlink(f.c_str());
}

// Several processes append; the first one rotates, or all of them.
int child(const std::string &log, int number, long lines, bool rotates) {
  ef_file_options o{};
  o.order = number % 2 ? EF_ORDER_THREAD : EF_ORDER_CALL;
  o.rotate_bytes = rotates ? file_most / 8 : 0;
  o.rotate_keep = 1000;
  o.flush_interval_ms = 2;
  int fd = core::open(log, O_WRONLY | O_CREAT | O_APPEND, o);
  write_lines(fd, number, lines);
  core::close(fd);
  return 0;
}

void several_processes(const std::string &log, int rotating, long lines) {
  for (int p = 0; p < threads; ++p)
    if (::fork() == 0) {
      faulty::heal(); // a short write may be torn by the others: only a full disk makes one
      faulty::now.delay = 64;
      ::_exit(child(log, p, lines, p < rotating));
    }
  for (int p = 0; p < threads; ++p) {
    int status;
    require(::wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "each process ends well");
  }
  std::vector<std::string> files{log};
  for (long n = 1; ::access(numbered(log, n).c_str(), F_OK) == 0; ++n) files.insert(files.begin(), numbered(log, n));
  std::printf("  %zu files of %d processes, %d rotate\n", files.size(), threads, rotating);
  require(rotating == 0 || files.size() > 2, "it was rotated");
  check(files, lines); // who is behind writes on to a file that another one has rotated: each is in order all the same
  for (const std::string &f : files) ::unlink(f.c_str());
}

} // namespace

int main() {
  faulty::install();
  const std::string dir = core::directory();
  const long lines = core::amount(50000, 200000);
  for (int rotating : {0, 1, threads})
    several_processes(dir + "/shared", rotating, lines); // first: fork before threads
  for (bool faults : {false, true}) {
    if (faults) {
      faulty::now.delay = 64;
      faulty::now.short_write = 128;
      std::printf("with delays and short writes\n");
    }
    for (int flags : {O_WRONLY | O_CREAT | O_APPEND, O_WRONLY | O_CREAT}) {
      for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) renamed_by_the_host(dir + "/renamed", flags, order, lines);
      for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) rotated_by_length(dir + "/rotated", flags, order, lines);
    }
  }
  require(faulty::now.shorts > 0 && faulty::now.delays > 0, "the faults happened");
  core::remove(dir);
  std::printf("ok\n");
}

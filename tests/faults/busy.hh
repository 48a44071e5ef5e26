// SPDX-License-Identifier: BSD-2-Clause
// A process that does everything at once until it is stopped or ends: threads that write numbered lines in both orders,
// with rotation, read, have requests under way in a ring, sync, open and close. What was accepted, and what the library
// had said was written, stands in memory that outlives the process.
#ifndef EF_TESTS_FAULTS_BUSY_HH
#define EF_TESTS_FAULTS_BUSY_HH

#include "child.hh"
#include "numbered.hh"

#include <sys/mman.h>

#include <filesystem>
#include <new>

namespace busy {

constexpr unsigned files = 3, writers = 6; // two threads a file
constexpr unsigned rotated = 2;            // this file is rotated, in the order of threads

struct shared {
  std::atomic<std::uint32_t> accepted[writers]; // lines
  std::atomic<std::uint64_t> written[files];    // bytes
  std::atomic<int> trouble, ready;
  std::atomic<std::uint64_t> mark; // the caller's
};

inline shared *said;

inline void make_shared() {
  void *m = ::mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  stress::require(m != MAP_FAILED, "mmap");
  said = static_cast<shared *>(m);
}

inline std::string directory() { return child::path("busy"); }
inline std::string name(unsigned file) { return "busy/log" + std::to_string(file); }

// Before a process begins.
inline void clear() {
  std::error_code bad;
  std::filesystem::remove_all(directory(), bad);
  stress::require(::mkdir(directory().c_str(), 0755) == 0, "mkdir");
  new (said) shared{};
}

class process {
 public:
  explicit process(std::uint64_t seed) : seed_(seed) {}

  void start() {
    stress::random dice(seed_);
    for (unsigned f = 0; f < files; ++f) {
      ef_file_options o{};
      o.order = f == 0 ? EF_ORDER_CALL : EF_ORDER_THREAD;
      o.rotate_bytes = f == rotated ? 65536 : 0;
      o.rotate_keep = 1000;
      o.write_buffer_max = dice.below(2) ? 128 << 10 : 0;
      o.flush_interval_ms = dice.below(2) ? 1 : 0;
      o.durable_interval_ms = f == 0 ? 3 : 0;
      MUST((fds[f] = child::open(name(f), O_WRONLY | O_CREAT, o)) >= 0);
    }
    for (unsigned t = 0; t < writers; ++t) threads_.emplace_back([this, t] { write_lines(t); });
    threads_.emplace_back([this] { read(); });
    threads_.emplace_back([this] { open_and_close(); });
  }
  // All that was accepted is in the files then.
  void stop() {
    hush();
    for (std::thread &t : threads_) t.join();
    for (int fd : fds) MUST(ef_close(fd) == 0);
    MUST(ef_drain(nullptr, 20000) == 0);
  }
  // They come to their end by themselves.
  void hush() { stop_.store(true, std::memory_order_relaxed); }
  // The process ends while they run.
  void leave() {
    for (std::thread &t : threads_) t.detach();
  }

  int fds[files] = {};

 private:
  void note(unsigned file) {
    const std::uint64_t now = child::stats(fds[file]).written;
    std::uint64_t before = said->written[file].load(std::memory_order_relaxed);
    while (before < now && !said->written[file].compare_exchange_weak(before, now, std::memory_order_relaxed)) {}
  }

  void write_lines(unsigned thread) {
    static thread_local char text[numbered::line_most];
    const unsigned file = thread % files;
    stress::random dice(seed_ * 16 + thread);
    for (std::uint32_t n = 1; !stop_.load(std::memory_order_relaxed); ++n) {
      const std::size_t length = numbered::line(file, thread, n, text);
      while (ef_write(fds[file], text, length) < 0) {
        MUST(errno == EAGAIN);
        MUST(ef_wait(fds[file], EF_WRITE, 20000) >= 0);
      }
      said->accepted[thread].store(n, std::memory_order_release); // pairs with who judges
      if (n % 8 == 0) note(file);
      if (n % 64 == 0) MUST(ef_sync(fds[file]) == 0);
      if (n % 4 == 0) ::usleep(static_cast<useconds_t>(dice.below(300)));
    }
  }

  void read() {
    ef_port *p = child::port_with(EF_ENGINE_AUTO);
    MUST(ef_port_fd(p) >= 0);
    auto *r = new child::requests(p);
    const std::string all = child::pattern(child::requests::size);
    said->ready.store(1, std::memory_order_release); // pairs with who waits for it
    while (!stop_.load(std::memory_order_relaxed)) {
      r->begin();
      const int fd = child::open("in", O_RDONLY, {}, p);
      MUST(child::read_all(fd) == all);
      MUST(ef_close(fd) == 0);
      MUST(r->end() == child::requests::count);
      ::usleep(100);
    }
    child::close(r->fd(), p);
    MUST(ef_port_free(p) == 0);
  }

  void open_and_close() {
    for (unsigned n = 0; !stop_.load(std::memory_order_relaxed); ++n) {
      const int fd = child::open("busy/short" + std::to_string(n % 8), O_WRONLY | O_CREAT | O_APPEND);
      MUST(fd >= 0 && ef_write(fd, "short\n", 6) == 6);
      if (n % 2) ::usleep(50);
      MUST(ef_close(fd) == 0);
      ::usleep(100);
    }
  }

  const std::uint64_t seed_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

// ---- Judging

struct counts {
  std::uint32_t lines[writers];
};
inline counts accepted_now() {
  counts c;
  for (unsigned t = 0; t < writers; ++t) c.lines[t] = said->accepted[t].load(std::memory_order_acquire);
  return c;
}

// What is wrong with the files, or nothing. promised: lines that must be there; all: no others, and nothing torn.
inline std::string verdict(const counts &promised, bool all) {
  if (int e = said->trouble.load(std::memory_order_relaxed)) return std::string("trouble: ") + std::strerror(e);
  for (unsigned f = 0; f < files; ++f) {
    const auto r = numbered::look(numbered::all_parts(directory(), "log" + std::to_string(f), false), f);
    const std::string where = "log" + std::to_string(f) + ": ";
    if (!r.wrong.empty()) return where + r.wrong;
    if (all && r.torn) return where + "torn";
    if (r.bytes < said->written[f].load(std::memory_order_relaxed)) return where + "less than was said to be written";
    for (unsigned t = f; t < writers; t += files)
      if (all ? r.lines[t] != promised.lines[t] : r.lines[t] < promised.lines[t])
        return where + "thread " + std::to_string(t) + ": " + std::to_string(r.lines[t]) + " lines, not " +
               std::to_string(promised.lines[t]);
  }
  return "";
}

} // namespace busy
#endif

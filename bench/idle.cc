// SPDX-License-Identifier: BSD-2-Clause
// An idle library makes no system calls: watched from outside, by strace and by the kernel's count of wake-ups.
#include "harness.hh"

#include "files.hh"
#include "timing.hh"

#include <efio.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace bench {
namespace {

constexpr int windows = 5;
constexpr double settle_seconds = 4.5; // a spare thread leaves after twice two seconds at the latest
constexpr double control_seconds = 0.5;
constexpr int not_found_status = 127;

void sleep_seconds(double seconds) {
  auto ns = static_cast<std::int64_t>(seconds * 1e9);
  timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
  while (nanosleep(&t, &t) != 0) {}
}

double wall_clock() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// How often the threads of a process gave up the processor to wait: each wake-up ends in one.
double waits_of(pid_t process) {
  double all = 0;
  std::error_code ended; // a thread that left meanwhile
  for (const auto &task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", ended)) {
    std::ifstream in(task.path() / "status");
    for (std::string line; std::getline(in, line);)
      if (line.rfind("voluntary_ctxt_switches:", 0) == 0) all += std::atof(line.c_str() + 24);
  }
  return all;
}

// A program that has written and read, has both files open still, and does nothing until it is killed.
class idler {
 public:
  explicit idler(const std::string &path) {
    int ready[2];
    if (pipe(ready) != 0 || (pid_ = fork()) < 0) fail("no process");
    if (pid_ == 0) be_idle(path, ready[1]);
    close(ready[1]);
    char byte;
    bool good = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!good) fail("the idle program could not write and read");
  }
  ~idler() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  idler(const idler &) = delete;
  idler &operator=(const idler &) = delete;
  pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void be_idle(const std::string &path, int ready) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char line[100] = "idle", back[100];
    int out = ef_open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 10'000; ++i)
      if (ef_write(out, line, sizeof line) != sizeof line) _exit(1);
    if (ef_flush(out) < 0 || ef_drain(nullptr, 10'000) < 0) _exit(1);
    int in = ef_open(path.c_str(), O_RDONLY);
    if (ef_wait(in, EF_OPEN, 10'000) <= 0 || ef_wait(in, EF_READ, 10'000) <= 0) _exit(1);
    if (ef_read(in, back, sizeof back) <= 0 || write(ready, "", 1) != 1) _exit(1);
    for (;;) pause();
  }
  pid_t pid_;
};

class tracer {
 public:
  tracer(pid_t of, const std::string &path) : path_(path) {
    pid_ = fork();
    if (pid_ < 0) fail("no process");
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGINT); // so that it detaches
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDERR_FILENO);
    execlp("strace", "strace", "-f", "-ttt", "-o", path_.c_str(), "-p", std::to_string(of).c_str(), nullptr);
    _exit(not_found_status);
  }
  // Empty if it runs, else why not.
  std::string trouble() {
    int status;
    if (waitpid(pid_, &status, WNOHANG) == 0) return "";
    pid_ = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == not_found_status ? "strace is not installed"
                                                                        : "strace may not attach here";
  }
  void stop() {
    if (pid_ > 0) kill(pid_, SIGINT);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  ~tracer() { stop(); }
  tracer(const tracer &) = delete;
  tracer &operator=(const tracer &) = delete;

  // Calls that began in this span of time. Second halves of lines and those that were in progress when it attached
  // are not new calls.
  double calls(double from, double to) const {
    std::ifstream in(path_);
    double n = 0;
    std::string thread;
    for (double when; in >> thread >> when;) {
      std::string rest;
      std::getline(in, rest);
      bool call = rest.find("<... ") == std::string::npos && rest.find("resuming") == std::string::npos;
      if (call && rest.find("(") != std::string::npos && when >= from && when < to) ++n;
    }
    return n;
  }

 private:
  std::string path_;
  pid_t pid_;
};

// Fills the windows: calls of one process that is traced, wake-ups of its twin: being traced is felt by the traced.
void watch(pid_t traced, pid_t free, const std::string &trace_path, double settle, double seconds, double *values) {
  double attached = wall_clock(), marks[windows + 1], waits[windows + 1];
  tracer trace(traced, trace_path);
  sleep_seconds(settle);
  std::string trouble = trace.trouble();
  for (int w = 0; w <= windows; ++w) {
    if (w > 0) sleep_seconds(seconds / windows);
    marks[w] = wall_clock();
    waits[w] = waits_of(free);
  }
  trace.stop();
  if (!trouble.empty()) skip("%s (wake-ups in %g s: %g)", trouble.c_str(), seconds, waits[windows] - waits[0]);
  for (int w = 0; w < windows; ++w) {
    double *out = values + w * metrics_max;
    out[0] = trace.calls(marks[w], marks[w + 1]);
    out[1] = waits[w + 1] - waits[w];
    out[2] = trace.calls(attached, marks[0]);
  }
}

void measure_idle(const std::string &directory, double seconds, double *values) {
  idler traced(directory + "/idle1"), free(directory + "/idle2");
  watch(traced.pid(), free.pid(), directory + "/trace", settle_seconds, seconds, values);
}

// The watcher sees what there is to see: else the zeros beside it would mean nothing.
void measure_control(const std::string &directory, double *values) {
  pid_t sleepers[2];
  for (pid_t &s : sleepers) {
    s = fork();
    if (s != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause_ns(20'000'000);
  }
  if (sleepers[0] > 0 && sleepers[1] > 0)
    watch(sleepers[0], sleepers[1], directory + "/trace", 0.3, control_seconds, values);
  for (pid_t s : sleepers) {
    if (s <= 0) fail("no process");
    kill(s, SIGKILL);
    waitpid(s, nullptr, 0);
  }
  for (int w = 0; w < windows; ++w)
    if (values[w * metrics_max] < 1 || values[w * metrics_max + 1] < 1) fail("the watcher is blind");
}

void add_rows(const options &o, std::vector<row> *rows) {
  row r{"idle",
        "two files open, written, flushed and read, then left alone: in each fifth of " +
            std::to_string(static_cast<int>(o.idle_seconds)) + " s",
        {{"system calls", 0}, {"wake-ups", 0}, {"calls while it settled", 0, false}},
        {},
        ""};
  r.variants = {{"efio", [=](double, double *values) { measure_idle(o.directory, o.idle_seconds, values); }},
                {"control: sleeps of 20 ms, each fifth of half a second",
                 [=](double, double *values) { measure_control(o.directory, values); }}};
  r.windows = windows;
  r.warm_up = false;
  r.goals = {{"system calls of the idle library", "efio", "", 0, true, 0, true}};
  rows->push_back(std::move(r));
}

const family idle(50, add_rows);

} // namespace
} // namespace bench

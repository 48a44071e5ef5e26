// SPDX-License-Identifier: BSD-2-Clause
// The pipe between a probe and us: records of five strings, each ended by a NUL.
#include "probe_child.hh"

#include "command.hh"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tool {
namespace {

long long now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1'000'000;
}

[[noreturn]] void be_the_child(int to, const std::function<void(reporter &)> &probe) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A child that hangs for ever must not keep open the pipe that our output goes to.
  int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd)
    if (nothing >= 0) dup2(nothing, fd);
  reporter out(to);
  probe(out);
  _exit(0);
}

// Reads until the end or the deadline; false: time is up.
bool collect(int from, long long deadline, std::string *bytes) {
  for (;;) {
    pollfd p{from, POLLIN, 0};
    long long left = deadline - now_ms();
    int ready = left > 0 ? poll(&p, 1, static_cast<int>(left)) : 0;
    if (ready == 0) return false;
    char part[4096];
    ssize_t n = ready > 0 ? read(from, part, sizeof part) : -1;
    if (n == 0) return true;
    if (n > 0) bytes->append(part, static_cast<std::size_t>(n));
  }
}

facts parse(const std::string &bytes, std::string *step) {
  facts all;
  std::string fields[5];
  std::size_t at = 0;
  for (;;) {
    for (std::string &field : fields) {
      std::size_t end = bytes.find('\0', at);
      if (end == std::string::npos) return all;
      field = bytes.substr(at, end - at);
      at = end + 1;
    }
    if (fields[0] == "s")
      *step = fields[3];
    else
      all.push_back({fields[0][0], fields[1], fields[2], fields[3], fields[4]});
  }
}

// How the child ended; "" = well.
std::string end_of(pid_t child, bool in_time, int seconds) {
  int status = 0;
  if (!in_time) {
    kill(child, SIGKILL);
    waitpid(child, &status, WNOHANG);
    return "no answer within " + std::to_string(seconds) + " s";
  }
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!WIFSIGNALED(status)) return "";
  return std::string("killed by signal ") + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
}

} // namespace

std::string value_of(const facts &all, const char *key) {
  for (const fact &f : all)
    if (f.key == key && f.of != fact::failed) return f.value;
  return "";
}

void reporter::send(char of, const std::string &key, const std::string &label, const std::string &value,
                    const std::string &note) {
  std::string record(1, of);
  for (const std::string *field : {&key, &label, &value, &note}) record += '\0' + *field;
  record += '\0';
  for (std::size_t done = 0; done < record.size();) {
    ssize_t n = write(fd_, record.data() + done, record.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n < 0 && errno != EINTR) _exit(1);
  }
}

facts run_apart(const std::function<void(reporter &)> &probe, int seconds) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return {{fact::failed, "probe", "probe", errno_name(errno), ""}};
  pid_t child = fork();
  if (child == 0) be_the_child(ends[1], probe);
  int error = errno;
  close(ends[1]);
  std::string bytes, step = "starting";
  bool in_time = child > 0 && collect(ends[0], now_ms() + seconds * 1000LL, &bytes);
  close(ends[0]);
  if (child < 0) return {{fact::failed, "probe", "probe", "fork: " + errno_name(error), ""}};
  facts all = parse(bytes, &step);
  std::string end = end_of(child, in_time, seconds);
  if (!end.empty()) all.push_back({fact::failed, "probe", "probe", end + " at: " + step, ""});
  return all;
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// The machine, as /proc and uname(2) tell it.
#include "machine.hh"

#include "timing.hh"

#include <efio.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace bench {
namespace {

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string kernel() {
  utsname u;
  return uname(&u) == 0 ? std::string(u.sysname) + " " + u.release + " " + u.machine : "unknown";
}

// The type of the mount whose path is the longest beginning of this one's.
std::string file_system(const std::string &directory) {
  char full[PATH_MAX];
  if (!realpath(directory.c_str(), full)) return "unknown";
  std::ifstream in("/proc/self/mounts");
  std::string best = "unknown", path = std::string(full) + "/";
  std::size_t length = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string device, at, type;
    words >> device >> at >> type;
    if (at.back() != '/') at += '/';
    if (at.size() < length || path.rfind(at, 0) != 0) continue; // a later mount hides an earlier one
    length = at.size();
    best = type;
  }
  return best;
}

// How far the kernel reads ahead of whoever reads: it decides how a cold file comes.
std::string read_ahead(const std::string &directory) {
  struct stat st;
  if (stat(directory.c_str(), &st) != 0) return "unknown";
  std::ifstream in("/sys/class/bdi/" + std::to_string(major(st.st_dev)) + ":" + std::to_string(minor(st.st_dev)) +
                   "/read_ahead_kb");
  std::string kb;
  return in >> kb ? kb : "unknown";
}

std::string percent(double part, double whole) {
  char out[32];
  std::snprintf(out, sizeof out, "%.1f %%", whole > 0 ? std::max(0.0, part / whole * 100) : 0);
  return out;
}

std::string load_average() {
  std::ifstream in("/proc/loadavg");
  std::string one, five;
  in >> one >> five;
  return one + " (1 min), " + five + " (5 min)";
}

} // namespace

facts describe_machine(const std::string &directory) {
  return {{"processor", processor()},
          {"cores", std::to_string(std::thread::hardware_concurrency())},
          {"kernel", kernel()},
          {"file system", file_system(directory)},
          {"kernel's read-ahead KiB", read_ahead(directory)},
          {"memory MiB", std::to_string(sysconf(_SC_PHYS_PAGES) / 1024 * (sysconf(_SC_PAGESIZE) / 1024))},
          {"compiler", __VERSION__},
          {"efio", ef_version()},
          {"load average before", load_average()}};
}

machine_load::times machine_load::now() {
  std::ifstream in("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0, stolen = 0;
  in >> word >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >> stolen;
  double tick = static_cast<double>(sysconf(_SC_CLK_TCK)), busy = user + nice + system + interrupts + soft;
  double ours = usage::so_far(RUSAGE_SELF) + usage::so_far(RUSAGE_CHILDREN);
  return {(busy + idle + waiting + stolen) / tick, busy / tick, stolen / tick, ours};
}

facts machine_load::report() const {
  times after = now();
  double all = after.all - before_.all, ours = after.ours - before_.ours;
  return {{"load average after", load_average()},
          {"processors used by this program", percent(ours, all)},
          {"processors used by others", percent(after.busy - before_.busy - ours, all)},
          {"processors taken by the hypervisor", percent(after.stolen - before_.stolen, all)}};
}

} // namespace bench

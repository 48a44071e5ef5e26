// SPDX-License-Identifier: BSD-2-Clause
// The system as /proc, the limits, io_uring_setup(2) and the library itself tell it.
#include "doctor_probes.hh"

#include "command.hh"
#include "loop.hh"

#include <efio.h>

#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace tool {
namespace {

std::string first_line(const std::string &file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// A line "NAME:\tVALUE" of /proc/self/status.
std::string of_status(const std::string &name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(name + ":\t", 0) == 0) return line.substr(name.size() + 2);
  return "";
}

void tell_kernel(reporter &out) {
  utsname u;
  if (uname(&u) != 0) return out.failed("kernel", "kernel", errno_name(errno));
  out.text("kernel", "kernel", u.release, u.machine);
  out.number("processors", "processors", static_cast<unsigned long long>(sysconf(_SC_NPROCESSORS_ONLN)));
}

void tell_io_uring(reporter &out) {
  out.step("io_uring_setup(2)");
  io_uring_params p;
  std::memset(&p, 0, sizeof p);
  long ring = syscall(SYS_io_uring_setup, 8, &p);
  if (ring >= 0) close(static_cast<int>(ring));
  out.text("io_uring", "io_uring_setup(2)", ring >= 0 ? "works" : errno_name(errno));
  std::string disabled = first_line("/proc/sys/kernel/io_uring_disabled");
  if (disabled.empty())
    out.text("io_uring_disabled", "kernel.io_uring_disabled", "absent");
  else
    out.number("io_uring_disabled", "kernel.io_uring_disabled", std::strtoull(disabled.c_str(), nullptr, 10));
}

void tell_engine(reporter &out) {
  const char *asked = std::getenv("EFIO_ENGINE");
  if (asked) out.text("engine_asked", "EFIO_ENGINE", asked);
  out.step("ef_port_new(3)");
  ef_port *port = ef_port_new(nullptr);
  if (!port) return out.failed("engine", "engine", no_port(errno));
  ef_port_counters c = {};
  c.size = sizeof c;
  if (ef_port_stats(port, &c) != 0) return out.failed("engine", "engine", "ef_port_stats: " + errno_name(errno));
  out.text("engine", "engine", c.engine_name, c.engine_reason);
}

void tell_limit(reporter &out, const char *key, const char *label, int which) {
  rlimit limit;
  if (getrlimit(static_cast<__rlimit_resource_t>(which), &limit) != 0) return out.failed(key, label, errno_name(errno));
  std::string most =
      limit.rlim_max == RLIM_INFINITY ? "at most unlimited" : "at most " + std::to_string(limit.rlim_max);
  if (limit.rlim_cur == RLIM_INFINITY)
    out.text(key, label, "unlimited");
  else
    out.number(key, label, limit.rlim_cur, most);
}

// The smallest limit on the way from a control group up to the root of its hierarchy; 0 = none.
unsigned long long smallest(const std::string &root, std::string group, const char *file) {
  unsigned long long least = 0;
  for (;;) {
    std::string line = first_line(root + group + "/" + file);
    unsigned long long limit = std::strtoull(line.c_str(), nullptr, 10); // "max" is 0
    if (limit > 0 && limit < 1ULL << 60 && (least == 0 || limit < least)) least = limit;
    if (group.empty()) return least;
    group.erase(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

// Version 2 has one line "0::GROUP", version 1 a line "N:memory:GROUP".
unsigned long long memory_limit() {
  std::ifstream in("/proc/self/cgroup");
  unsigned long long least = 0;
  for (std::string line; std::getline(in, line);) {
    std::size_t one = line.find(':'), two = line.find(':', one + 1);
    if (two == std::string::npos) continue;
    std::string controllers = line.substr(one + 1, two - one - 1), group = line.substr(two + 1);
    if (controllers.empty())
      least = smallest("/sys/fs/cgroup", group, "memory.max");
    else if (("," + controllers + ",").find(",memory,") != std::string::npos)
      return smallest("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
  }
  return least;
}

void tell_confinement(reporter &out) {
  std::string mode = of_status("Seccomp");
  const char *const modes[] = {"off", "strict", "filter"};
  unsigned long number = std::strtoul(mode.c_str(), nullptr, 10);
  out.text("seccomp", "seccomp", mode.empty() ? "unknown" : number < 3 ? modes[number] : mode);
  unsigned long long capabilities = std::strtoull(of_status("CapEff").c_str(), nullptr, 16);
  const int ipc_lock = 14; // linux/capability.h; who has it is not bound by RLIMIT_MEMLOCK
  out.text("cap_ipc_lock", "CAP_IPC_LOCK", capabilities >> ipc_lock & 1 ? "yes" : "no");
  if (unsigned long long limit = memory_limit())
    out.number("cgroup_memory_max", "memory limit of the cgroup", limit, "bytes");
  else
    out.text("cgroup_memory_max", "memory limit of the cgroup", "none");
}

} // namespace

void probe_system(reporter &out) {
  out.text("version", "efio", ef_version());
  tell_kernel(out);
  tell_limit(out, "rlimit_memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK);
  tell_limit(out, "rlimit_nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE);
  tell_limit(out, "rlimit_nproc", "RLIMIT_NPROC", RLIMIT_NPROC);
  tell_confinement(out);
  tell_io_uring(out);
  tell_engine(out);
}

} // namespace tool

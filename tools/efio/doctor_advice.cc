// SPDX-License-Identifier: BSD-2-Clause
// What to do about what was found: each line names the cause and the remedy.
#include "doctor_probes.hh"

#include <cstdlib>

namespace tool {
namespace {

constexpr unsigned long long memlock_enough = 512 << 10; // 16 rings of 256 entries, measured on Linux 6.18
constexpr unsigned long long nofile_enough = 4096;
constexpr unsigned long long nproc_enough = 64; // 25 threads of the library and the kernel's own for a ring
constexpr unsigned long long cgroup_enough = 256ULL << 20;

unsigned long long number_of(const facts &all, const char *key) {
  return std::strtoull(value_of(all, key).c_str(), nullptr, 10);
}

// True for a limit that is known, not unlimited, and below what is enough.
bool below(const facts &all, const char *key, unsigned long long enough) {
  std::string value = value_of(all, key);
  return !value.empty() && value[0] >= '0' && value[0] <= '9' && number_of(all, key) < enough;
}

bool older_than(const std::string &release, int major, int minor) {
  char *rest;
  long first = std::strtol(release.c_str(), &rest, 10);
  long second = *rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0;
  return first < major || (first == major && second < minor);
}

std::string about_io_uring(const facts &system) {
  std::string answer = value_of(system, "io_uring"), disabled = value_of(system, "io_uring_disabled");
  if (answer == "works" || answer.empty()) return "";
  if (answer == "ENOSYS")
    return "the kernel, or a filter in front of it, has no io_uring: reads that miss go to threads";
  if (disabled == "1" || disabled == "2")
    return "io_uring is forbidden by kernel.io_uring_disabled = " + disabled +
           ": 'sysctl kernel.io_uring_disabled=0' allows it";
  if (answer == "ENOMEM")
    return "io_uring gets no memory: raise RLIMIT_MEMLOCK ('ulimit -l', LimitMEMLOCK= of a service)";
  if (value_of(system, "seccomp") == "filter")
    return "io_uring is forbidden (" + answer + "), most likely by the seccomp filter of the container: allow " +
           "io_uring_setup, io_uring_enter and io_uring_register in its profile";
  return "io_uring does not work here (" + answer + "): reads that miss go to threads";
}

bool waits_to_be_asked(const facts &of_path) { return value_of(of_path, "nowait_read_hit") == "EOPNOTSUPP"; }

} // namespace

std::vector<advice> advise_system(const facts &system) {
  std::vector<advice> all;
  auto add = [&all](const std::string &text) { all.push_back({"", text}); };
  std::string ring = about_io_uring(system), kernel = value_of(system, "kernel");
  if (!ring.empty()) add(ring);
  std::string asked = value_of(system, "engine_asked");
  if (!asked.empty() && value_of(system, "engine").empty())
    add("no file can be opened with EFIO_ENGINE=" + asked + ": unset it, or set it to auto, uring or threads");
  else if (!asked.empty())
    add("EFIO_ENGINE=" + asked + " decides which engine is taken; unset it to have the best");
  if (value_of(system, "cap_ipc_lock") == "no" && below(system, "rlimit_memlock", memlock_enough))
    add("RLIMIT_MEMLOCK is small: after a few rings reads that miss go to threads; 8 MiB is enough for hundreds");
  if (below(system, "rlimit_nofile", nofile_enough))
    add("RLIMIT_NOFILE is small: each open file is a descriptor ('ulimit -n', LimitNOFILE= of a service)");
  if (below(system, "rlimit_nproc", nproc_enough))
    add("RLIMIT_NPROC is small: the library has up to 25 threads, and a ring needs some of the kernel's");
  if (below(system, "cgroup_memory_max", cgroup_enough))
    add("the memory limit of the control group counts the page cache, too: files larger than it miss again and again");
  if (!kernel.empty() && older_than(kernel, 5, 11)) add("Linux older than 5.11: its io_uring is not used");
  return all;
}

std::vector<advice> advise_path(const std::string &path, const facts &of_path) {
  std::vector<advice> all;
  auto add = [&](const std::string &text) { all.push_back({path, text}); };
  std::string type = value_of(of_path, "file_system"), reads = value_of(of_path, "reads");
  if (waits_to_be_asked(of_path) && type == "overlay")
    add("overlayfs cannot be read without waiting, so reads go to threads: put files that are read much on a volume");
  else if (waits_to_be_asked(of_path) && reads != "inline")
    add(type + " cannot be read without waiting, so reads go to threads, also of what is in memory");
  if (!value_of(of_path, "fdatasync").empty() && value_of(of_path, "fdatasync") != "works")
    add("fdatasync(2) fails (" + value_of(of_path, "fdatasync") + "): ef_sync(3) will, too");
  return all;
}

} // namespace tool

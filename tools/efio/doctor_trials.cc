// SPDX-License-Identifier: BSD-2-Clause
// Reads and writes with the flags that decide how fast a file can be without waiting; and the library's own read.
#include "doctor_trials.hh"

#include "command.hh"
#include "loop.hh"
#include "temporary_file.hh"

#include <efio.h>

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace tool {
namespace {

constexpr std::size_t block = 4096, temporary_size = 1 << 20;
constexpr off_t folio_max = 4 << 20; // of a page cache; a folio of which only a part is to go stays in memory
constexpr int patience_ms = 2000;
constexpr int nowait = 0x08, dontcache = 0x80; // RWF_NOWAIT, RWF_DONTCACHE: newer than some headers

alignas(4096) char buffer[65536];

double now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

ssize_t read_with(int fd, off_t offset, int flags) {
  iovec v{buffer, block};
  return preadv2(fd, &v, 1, offset, flags);
}

ssize_t write_with(int fd, off_t offset, int flags) {
  iovec v{buffer, block};
  return pwritev2(fd, &v, 1, offset, flags);
}

std::string works(ssize_t n) { return n >= 0 ? "works" : errno_name(errno); }

void try_fdatasync(reporter &out, int fd) {
  out.step("writing 1 MiB");
  if (int error = fill(fd, 0, temporary_size)) return out.failed("fdatasync", "fdatasync", errno_name(-error));
  out.step("fdatasync(2)");
  double before = now_ms();
  std::string result = works(fdatasync(fd));
  char note[48];
  std::snprintf(note, sizeof note, "%.1f ms for 1 MiB", now_ms() - before);
  out.text("fdatasync", "fdatasync", result, note);
}

// A block in the middle, where no read-ahead from the beginning has put it back.
off_t middle(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? st.st_size / 2 / static_cast<off_t>(block) * static_cast<off_t>(block) : 0;
}

void try_nowait_read(reporter &out, int fd, bool ours) {
  off_t at = middle(fd);
  out.step("RWF_NOWAIT read of what is on disk");
  // Of somebody else's file only what is needed is put out of memory.
  posix_fadvise(fd, ours ? 0 : at / folio_max * folio_max, ours ? 0 : folio_max, POSIX_FADV_DONTNEED);
  ssize_t n = read_with(fd, at, nowait);
  out.text("nowait_read_miss", "RWF_NOWAIT read, not in memory", n < 0 ? errno_name(errno) : "not tried",
           n < 0 && errno == EAGAIN ? "as it should"
           : n < 0                  ? ""
                                    : "the block would not leave memory");
  out.step("read of what is on disk");
  ssize_t there = read_with(fd, at, 0);
  if (there < 0) return out.failed("nowait_read_hit", "RWF_NOWAIT read, in memory", errno_name(errno));
  n = read_with(fd, at, nowait);
  out.text("nowait_read_hit", "RWF_NOWAIT read, in memory", works(n),
           n >= 0 && n < there ? "only " + std::to_string(n) + " bytes" : "");
}

void try_flags(reporter &out, int fd, bool ours) {
  out.step("RWF_DONTCACHE read");
  out.text("dontcache_read", "RWF_DONTCACHE read", works(read_with(fd, middle(fd), dontcache)));
  if (!ours) return;
  out.step("RWF_DONTCACHE write");
  out.text("dontcache_write", "RWF_DONTCACHE write", works(write_with(fd, 0, dontcache)));
  read_with(fd, 0, 0);
  out.step("RWF_NOWAIT write");
  out.text("nowait_write", "RWF_NOWAIT write", works(write_with(fd, 0, nowait)));
}

// The alignments that statx(2) tells, 0 where it does not.
void direct_alignment(int fd, unsigned *memory, unsigned *offset) {
  struct statx st;
  std::memset(&st, 0, sizeof st);
  *memory = *offset = 0;
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) != 0 || !(st.stx_mask & STATX_DIOALIGN)) return;
  *memory = st.stx_dio_mem_align;
  *offset = st.stx_dio_offset_align;
}

void try_direct(reporter &out, int fd, bool ours) {
  out.step("O_DIRECT");
  int direct = reopen(fd, (ours ? O_RDWR : O_RDONLY) | O_DIRECT);
  if (direct < 0) return out.text("direct_read", "O_DIRECT read", errno_name(-direct));
  unsigned memory, offset;
  direct_alignment(direct, &memory, &offset);
  const char *note = offset ? "" : "statx(2) does not tell the alignment; tried with 4096";
  std::size_t unit = std::max<std::size_t>(offset, block);
  if (unit > sizeof buffer) return out.text("direct_read", "O_DIRECT read", "not tried", note);
  out.text("direct_read", "O_DIRECT read", works(pread(direct, buffer, unit, 0)), note);
  if (offset) out.number("direct_offset_alignment", "O_DIRECT offset alignment", offset);
  if (offset) out.number("direct_memory_alignment", "O_DIRECT memory alignment", memory);
  if (ours) out.text("direct_write", "O_DIRECT write", works(pwrite(direct, buffer, unit, 0)));
  close(direct);
}

// The file a second time, the library's; -1 and a negated errno in *error.
int adopt(ef_port *port, int fd, int cache, int *error) {
  ef_file_options options = {};
  options.size = sizeof options;
  options.cache = cache;
  int mine = reopen(fd, O_RDONLY), file = mine < 0 ? -1 : ef_fdopen(port, mine, &options);
  *error = mine < 0 ? -mine : file < 0 ? errno : 0;
  if (file >= 0) ef_wait(file, EF_OPEN, patience_ms);
  return file;
}

// The library reads a block that is in memory: at once in the caller, or by an errand of one of its threads?
void try_library(reporter &out, ef_port *port, int fd) {
  out.step("ef_read(3)");
  int error, file = adopt(port, fd, EF_CACHE_NORMAL, &error);
  if (file < 0) return out.failed("reads", "efio reads", errno_name(error));
  ef_port_counters c = {};
  c.size = sizeof c;
  ef_port_stats(port, &c);
  read_with(fd, 0, 0);
  ssize_t n = ef_read(file, buffer, block);
  std::string misses = std::string(", what is not there by the engine \"") + c.engine_name + "\"";
  if (n >= 0) return out.text("reads", "efio reads", "inline", "what is in memory in the caller's thread" + misses);
  if (errno != EAGAIN) return out.failed("reads", "efio reads", errno_name(errno));
  if (ef_wait(file, EF_READ, patience_ms) == 0) return out.failed("reads", "efio reads", "the bytes do not come");
  out.text("reads", "efio reads", "reader threads", "also what is in memory: it cannot be asked without waiting");
}

// What becomes of a cache mode on a file that is not in memory: the library tells after its first read.
void try_cache(reporter &out, ef_port *port, int fd, int cache) {
  const char *const modes[] = {"normal", "streaming", "direct"}; // in the order of EF_CACHE_
  std::string key = std::string("cache_") + modes[cache], label = std::string("efio cache=") + modes[cache];
  out.step(label);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  int error, file = adopt(port, fd, cache, &error);
  if (file < 0) return out.failed(key.c_str(), label.c_str(), errno_name(error));
  if (ef_read(file, buffer, block) < 0 && errno == EAGAIN) ef_wait(file, EF_READ, patience_ms);
  ef_file_counters c = {};
  c.size = sizeof c;
  if (ef_file_stats(file, &c) != 0) return out.failed(key.c_str(), label.c_str(), errno_name(errno));
  out.text(key.c_str(), label.c_str(), modes[c.cache], c.cache_reason ? c.cache_reason : "");
}

} // namespace

void try_file(reporter &out, int fd, bool ours) {
  if (ours) try_fdatasync(out, fd);
  try_nowait_read(out, fd, ours);
  try_flags(out, fd, ours);
  try_direct(out, fd, ours);
  ef_port *port = ef_port_new(nullptr);
  if (!port) return out.failed("reads", "efio reads", no_port(errno));
  try_library(out, port, fd);
  if (!ours) return;
  try_cache(out, port, fd, EF_CACHE_STREAMING);
  try_cache(out, port, fd, EF_CACHE_DIRECT);
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// The n-th allocation, thread or descriptor that the library asks for is refused, once or from then on: what to refuse,
// the functions that do, and the sweep over all n. Definitions: for one source file of a program, which links the
// archives. Counted is what is called from the program itself; what other shared libraries ask for is not.
#ifndef EF_TESTS_FAULTS_REFUSALS_HH
#define EF_TESTS_FAULTS_REFUSALS_HH

#include "sys.hh"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

extern "C" {
extern char __executable_start, etext; // the linker's
void *__libc_malloc(std::size_t);
void *__libc_calloc(std::size_t, std::size_t);
void *__libc_realloc(void *, std::size_t);
void *__libc_memalign(std::size_t, std::size_t);
void __libc_free(void *);
}

namespace refuse {

enum kind : int { memory, threads, descriptors, kinds };
constexpr const char *names[] = {"memory", "threads", "descriptors"};

// Which of a kind is refused: those from number `at` on, `count` of them. 0: none.
struct plan {
  std::atomic<int> what{memory};
  std::atomic<long> at{0}, count{0};
  std::atomic<long> seen[kinds]{}, refused{0};
  std::atomic<long> blocks{0}; // of memory, asked for and not given back
};
inline constinit plan now;
inline thread_local constinit int excused = 0; // this thread asks for itself, not for the library

struct excuse {
  excuse() { ++excused; }
  ~excuse() { --excused; }
};

// Disarmed, and counted anew.
inline void begin(int what, long at, long count) {
  now.at.store(0, std::memory_order_seq_cst);
  for (auto &s : now.seen) s.store(0, std::memory_order_seq_cst);
  now.refused.store(0, std::memory_order_seq_cst);
  now.what.store(what, std::memory_order_seq_cst);
  now.count.store(count, std::memory_order_seq_cst);
  now.at.store(at, std::memory_order_seq_cst);
}
inline void heal() { now.at.store(0, std::memory_order_seq_cst); }

inline bool ours(const void *caller) { return caller >= &__executable_start && caller < &etext && excused == 0; }

inline bool denied(kind k, const void *caller) {
  if (!ours(caller)) return false;
  const long n = now.seen[k].fetch_add(1, std::memory_order_seq_cst) + 1, at = now.at.load(std::memory_order_seq_cst);
  if (at == 0 || k != now.what.load(std::memory_order_relaxed)) return false;
  if (n < at || n - at >= now.count.load(std::memory_order_relaxed)) return false;
  now.refused.fetch_add(1, std::memory_order_relaxed);
  return true;
}

inline void *counted(void *p, const void *caller) {
  if (p && ours(caller)) now.blocks.fetch_add(1, std::memory_order_relaxed);
  return p;
}
inline void *give(std::size_t bytes, std::size_t alignment, const void *caller) {
  if (denied(memory, caller)) {
    errno = ENOMEM;
    return nullptr;
  }
  return counted(alignment ? __libc_memalign(alignment, bytes) : __libc_malloc(bytes), caller);
}
inline void take(void *p, const void *caller) {
  if (p && ours(caller)) now.blocks.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(p);
}

// ---- What the library asks through its table

inline int do_openat(int dirfd, const char *path, int flags, mode_t mode) {
  if (denied(descriptors, &__executable_start)) return -EMFILE;
  return ef::sys_kernel.openat(dirfd, path, flags, mode);
}
inline int do_duplicate(int fd) {
  if (denied(descriptors, &__executable_start)) return -EMFILE;
  return ef::sys_kernel.duplicate(fd);
}
inline int do_uring_setup(unsigned entries, io_uring *ring, io_uring_params *params) {
  if (denied(descriptors, &__executable_start)) return -EMFILE;
  if (denied(memory, &__executable_start)) return -ENOMEM;
  return ef::sys_kernel.uring_setup(entries, ring, params);
}

inline void install() {
  static ef::sys_table t = ef::sys_kernel;
  t.openat = do_openat;
  t.duplicate = do_duplicate;
  t.uring_setup = do_uring_setup;
  ef::sys = &t;
}

} // namespace refuse

// ---- What it asks the C library for

#define EF_CALLER __builtin_return_address(0)

extern "C" {
void *malloc(std::size_t n) { return refuse::give(n, 0, EF_CALLER); }
void *calloc(std::size_t n, std::size_t size) {
  if (refuse::denied(refuse::memory, EF_CALLER)) return errno = ENOMEM, nullptr;
  return refuse::counted(__libc_calloc(n, size), EF_CALLER);
}
void *realloc(void *p, std::size_t n) {
  if (refuse::denied(refuse::memory, EF_CALLER)) return errno = ENOMEM, nullptr;
  return p ? __libc_realloc(p, n) : refuse::counted(__libc_realloc(p, n), EF_CALLER);
}
void *aligned_alloc(std::size_t alignment, std::size_t n) { return refuse::give(n, alignment, EF_CALLER); }
void *memalign(std::size_t alignment, std::size_t n) { return refuse::give(n, alignment, EF_CALLER); }
int posix_memalign(void **out, std::size_t alignment, std::size_t n) {
  void *p = refuse::give(n, alignment, EF_CALLER);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}
void free(void *p) { refuse::take(p, EF_CALLER); }

void *mmap(void *at, std::size_t n, int protection, int flags, int fd, off_t offset) noexcept {
  if (refuse::denied(refuse::memory, EF_CALLER)) return errno = ENOMEM, MAP_FAILED;
  return reinterpret_cast<void *>(::syscall(SYS_mmap, at, n, protection, flags, fd, offset));
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
  using type = int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  static const auto real = reinterpret_cast<type>(::dlsym(RTLD_NEXT, "pthread_create"));
  return refuse::denied(refuse::threads, EF_CALLER) ? EAGAIN : real(id, attr, run, arg);
}

int eventfd(unsigned value, int flags) noexcept {
  if (refuse::denied(refuse::descriptors, EF_CALLER)) return errno = EMFILE, -1;
  return static_cast<int>(::syscall(SYS_eventfd2, value, flags));
}
int memfd_create(const char *name, unsigned flags) noexcept {
  if (refuse::denied(refuse::descriptors, EF_CALLER)) return errno = EMFILE, -1;
  return static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}
} // extern "C"

// No exceptions here: whoever cannot do without ends.
static void *or_end(void *p) {
  if (!p) std::abort();
  return p;
}
static std::size_t of(std::align_val_t a) { return static_cast<std::size_t>(a); }
void *operator new(std::size_t n) { return or_end(refuse::give(n, 0, EF_CALLER)); }
void *operator new[](std::size_t n) { return or_end(refuse::give(n, 0, EF_CALLER)); }
void *operator new(std::size_t n, const std::nothrow_t &) noexcept { return refuse::give(n, 0, EF_CALLER); }
void *operator new[](std::size_t n, const std::nothrow_t &) noexcept { return refuse::give(n, 0, EF_CALLER); }
void *operator new(std::size_t n, std::align_val_t a) { return or_end(refuse::give(n, of(a), EF_CALLER)); }
void *operator new[](std::size_t n, std::align_val_t a) { return or_end(refuse::give(n, of(a), EF_CALLER)); }
void *operator new(std::size_t n, std::align_val_t a, const std::nothrow_t &) noexcept {
  return refuse::give(n, of(a), EF_CALLER);
}
void *operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t &) noexcept {
  return refuse::give(n, of(a), EF_CALLER);
}
void operator delete(void *p) noexcept { refuse::take(p, EF_CALLER); }
void operator delete[](void *p) noexcept { refuse::take(p, EF_CALLER); }
void operator delete(void *p, std::size_t) noexcept { refuse::take(p, EF_CALLER); }
void operator delete[](void *p, std::size_t) noexcept { refuse::take(p, EF_CALLER); }
void operator delete(void *p, std::align_val_t) noexcept { refuse::take(p, EF_CALLER); }
void operator delete[](void *p, std::align_val_t) noexcept { refuse::take(p, EF_CALLER); }
void operator delete(void *p, std::size_t, std::align_val_t) noexcept { refuse::take(p, EF_CALLER); }
void operator delete[](void *p, std::size_t, std::align_val_t) noexcept { refuse::take(p, EF_CALLER); }

#endif

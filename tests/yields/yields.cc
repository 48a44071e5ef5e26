// SPDX-License-Identifier: BSD-2-Clause
// Threads that lose the processor at random points: what the compiler calls for ThreadSanitizer before each atomic
// operation and each access to memory is here a chance to yield, to dawdle or to sleep. So the whole library and its
// tests get a point between any two steps, without a word in the sources. EFIO_SEED=n repeats the choices of each
// thread, as far as threads can be repeated. Every program ends with the number of places and of yields, and fails if
// there were none. The names and arguments are those of the interface in LLVM's tsan_interface.h and
// tsan_interface_atomic.h.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr unsigned places_most = 1 << 16;
std::atomic<std::uintptr_t> places[places_most];
std::atomic<unsigned long> place_count, yield_count, sleep_count;
std::atomic<std::uint64_t> thread_count;
std::uint64_t first_seed;

struct dice {
  std::uint64_t state;
};
thread_local dice mine __attribute__((tls_model("initial-exec")));

std::uint64_t mixed(std::uint64_t z) { // splitmix64
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// An open-addressed set; what does not find room near its place is not counted.
void note(std::uintptr_t at) {
  for (unsigned k = 0; k < 8; ++k) {
    auto &p = places[(mixed(at) + k) % places_most];
    std::uintptr_t there = p.load(std::memory_order_relaxed);
    if (there == at) return;
    if (there == 0 && p.compare_exchange_strong(there, at, std::memory_order_relaxed)) {
      place_count.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
}

// Rare enough that tests end, with stays long enough for another thread to get all through a call.
__attribute__((noinline)) void lose_the_processor(std::uint64_t r, void *at) {
  note(reinterpret_cast<std::uintptr_t>(at));
  yield_count.fetch_add(1, std::memory_order_relaxed);
  if (r % 64 == 0) {
    sleep_count.fetch_add(1, std::memory_order_relaxed);
    const timespec t{0, static_cast<long>(r / 64 % 200'000)};
    ::nanosleep(&t, nullptr);
  } else if (r % 4 == 0) {
    for (std::uint64_t k = r / 64 % 3000; k > 0; --k) asm volatile("" ::: "memory");
  } else {
    ::sched_yield();
  }
}

// One time in `rare`.
template<unsigned rare> inline void point(void *at) {
  if (mine.state == 0) mine.state = first_seed + mixed(thread_count.fetch_add(1, std::memory_order_relaxed) + 1);
  const std::uint64_t r = mixed(mine.state += 0x9e3779b97f4a7c15);
  if (__builtin_expect(r % rare == 0, 0)) {
    const int error = errno;
    lose_the_processor(r / rare, at);
    errno = error;
  }
}

struct report {
  report() {
    const char *s = std::getenv("EFIO_SEED");
    first_seed = s ? std::strtoull(s, nullptr, 0) : 1;
  }
  ~report() {
    std::printf("# %lu places, %lu yields, %lu sleeps, %lu threads\n", place_count.load(), yield_count.load(),
                sleep_count.load(), static_cast<unsigned long>(thread_count.load()));
    if (yield_count.load() > 0) return;
    std::fflush(stdout);
    ::_exit(9);
  }
} at_the_end;

} // namespace

#define HERE __builtin_return_address(0)

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

#define ACCESS(name)                                                                                                   \
  void __tsan_##name(void *) { point<4096>(HERE); }
#define ACCESSES(n)                                                                                                    \
  ACCESS(read##n)                                                                                                      \
  ACCESS(write##n)                                                                                                     \
  ACCESS(unaligned_read##n) ACCESS(unaligned_write##n) ACCESS(volatile_read##n) ACCESS(volatile_write##n)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void *, unsigned long) { point<4096>(HERE); }
void __tsan_write_range(void *, unsigned long) { point<4096>(HERE); }
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
void __tsan_acquire(void *) {}
void __tsan_release(void *) {}

// x86-64 and what is asked for are both at most this strong.
#define ORDER __ATOMIC_SEQ_CST
#define CHANGE(bits, T, name)                                                                                          \
  T __tsan_atomic##bits##_##name(volatile T *a, T v, int) {                                                            \
    point<64>(HERE);                                                                                                   \
    return __atomic_##name(a, v, ORDER);                                                                               \
  }
#define EXCHANGE(bits, T, name)                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_##name(volatile T *a, T *expected, T v, int, int) {                       \
    point<64>(HERE);                                                                                                   \
    return __atomic_compare_exchange_n(a, expected, v, false, ORDER, ORDER);                                           \
  }
#define ATOMIC(bits, T)                                                                                                \
  T __tsan_atomic##bits##_load(const volatile T *a, int) {                                                             \
    point<64>(HERE);                                                                                                   \
    return __atomic_load_n(a, ORDER);                                                                                  \
  }                                                                                                                    \
  void __tsan_atomic##bits##_store(volatile T *a, T v, int order) {                                                    \
    point<64>(HERE);                                                                                                   \
    if (order == __ATOMIC_SEQ_CST)                                                                                     \
      __atomic_store_n(a, v, ORDER);                                                                                   \
    else                                                                                                               \
      __atomic_store_n(a, v, __ATOMIC_RELEASE); /* may pass later loads, as it may without us */                       \
  }                                                                                                                    \
  T __tsan_atomic##bits##_exchange(volatile T *a, T v, int) {                                                          \
    point<64>(HERE);                                                                                                   \
    return __atomic_exchange_n(a, v, ORDER);                                                                           \
  }                                                                                                                    \
  CHANGE(bits, T, fetch_add)                                                                                           \
  CHANGE(bits, T, fetch_sub)                                                                                           \
  CHANGE(bits, T, fetch_and)                                                                                           \
  CHANGE(bits, T, fetch_or)                                                                                            \
  CHANGE(bits, T, fetch_xor)                                                                                           \
  EXCHANGE(bits, T, strong)                                                                                            \
  EXCHANGE(bits, T, weak)
ATOMIC(8, unsigned char)
ATOMIC(16, unsigned short)
ATOMIC(32, unsigned)
ATOMIC(64, unsigned long)

void __tsan_atomic_thread_fence(int order) {
  point<64>(HERE);
  if (order == __ATOMIC_SEQ_CST)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  else
    __atomic_thread_fence(__ATOMIC_ACQ_REL);
}
void __tsan_atomic_signal_fence(int) {}
} // extern "C"

// SPDX-License-Identifier: BSD-2-Clause
// Stacks to switch between, for the virtual threads of interleave.hh; told to the sanitizers, which would be lost
// otherwise.
#ifndef EF_INTERLEAVE_FIBER_HH
#define EF_INTERLEAVE_FIBER_HH

#include <cstddef>
#include <cstdlib>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define INTERLEAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INTERLEAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define INTERLEAVE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INTERLEAVE_TSAN 1
#endif
#endif
#if defined(INTERLEAVE_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(INTERLEAVE_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace interleave {

#if defined(INTERLEAVE_ASAN) || defined(INTERLEAVE_TSAN) || defined(EF_COVERAGE)
constexpr bool sanitized = true; // executions cost a hundred times as much: fewer of them
#else
constexpr bool sanitized = false;
#endif

class fiber {
 public:
  fiber() = default;
  fiber(const fiber &) = delete;
  fiber &operator=(const fiber &) = delete;
  ~fiber() {
    drop();
    std::free(stack_);
  }

  // Begins at entry() when first switched to; whatever ran here before is forgotten. entry() never returns, and calls
  // arrived() first.
  void make(void (*entry)()) {
    drop();
    if (!stack_) stack_ = static_cast<char *>(std::malloc(size));
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = size;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
#if defined(INTERLEAVE_ASAN)
    __asan_unpoison_memory_region(stack_, size);
    bottom_ = stack_;
    bytes_ = size;
    fake_ = nullptr;
#endif
#if defined(INTERLEAVE_TSAN)
    tsan_ = __tsan_create_fiber(0);
#endif
  }

  static void go(fiber &from, fiber &to) {
    last() = &from;
#if defined(INTERLEAVE_TSAN)
    if (!from.stack_) from.tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan_, 0);
#endif
#if defined(INTERLEAVE_ASAN)
    __sanitizer_start_switch_fiber(&from.fake_, to.bottom_, to.bytes_);
#endif
    swapcontext(&from.context_, &to.context_);
    from.arrived();
  }

  void arrived() {
#if defined(INTERLEAVE_ASAN)
    const void *bottom;
    std::size_t bytes;
    __sanitizer_finish_switch_fiber(fake_, &bottom, &bytes);
    if (!last()->stack_) { // the program's own stack, whose place is learned in leaving it
      last()->bottom_ = bottom;
      last()->bytes_ = bytes;
    }
#endif
  }

 private:
  static constexpr std::size_t size = 256 * 1024;
  static fiber *&last() {
    static fiber *f = nullptr;
    return f;
  }
  void drop() {
#if defined(INTERLEAVE_TSAN)
    if (stack_ && tsan_) __tsan_destroy_fiber(tsan_);
    tsan_ = nullptr;
#endif
  }

  ucontext_t context_{};
  char *stack_ = nullptr; // none: the program's own
#if defined(INTERLEAVE_ASAN)
  const void *bottom_ = nullptr;
  std::size_t bytes_ = 0;
  void *fake_ = nullptr;
#endif
#if defined(INTERLEAVE_TSAN)
  void *tsan_ = nullptr;
#endif
};

} // namespace interleave
#endif

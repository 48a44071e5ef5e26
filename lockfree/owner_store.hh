// SPDX-License-Identifier: BSD-2-Clause
// A conditional store that one owner thread does without a locked instruction, and the barrier by which others end its
// ownership.
#ifndef EF_LOCKFREE_OWNER_STORE_HH
#define EF_LOCKFREE_OWNER_STORE_HH

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#endif

// Contract.
//   owner_store(word, expected, desired): by the word's owner only. Stores desired if the word is expected; compare and
//   store are one step for this processor (a restartable sequence, rseq(2): when the thread is interrupted in between
//   it starts over), but not for other processors. False: the word is something else, or it was interrupted; look
//   again. owner_store_barrier(): when it returns, no owner_store of this process that began before it is still between
//   its compare and its store, and all their stores are visible. One system call that interrupts the processors running
//   this process, 2-10 us. Both are lock-free: nobody waits for a thread that does not run.
// Why: a locked compare-and-swap waits until all earlier stores, the copied line among them, have left the processor's
// buffer. That made two thirds of the cost of a 100-byte write. Not available (so never use it) without rseq registered
// by the C library, on other processors, and under ThreadSanitizer, which cannot see it: then owner_store_available()
// is false.
namespace ef {

#if defined(RSEQ_SIG) && defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define EF_OWNER_STORE 1
#endif
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#undef EF_OWNER_STORE
#endif
#endif

#ifdef EF_OWNER_STORE

// Once a process (again in a fork child): false if the kernel or the C library lacks a part.
inline bool owner_store_enable() noexcept {
  return __rseq_size > 0 && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
}

inline void owner_store_barrier() noexcept { syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0); }

inline bool owner_store(std::atomic<std::uint64_t> &word, std::uint64_t expected, std::uint64_t desired) noexcept {
  static_assert(sizeof word == sizeof(std::uint64_t));
  // The descriptor of the sequence 1..2 with its way out 4 for the kernel, which checks the signature before 4. "?": in
  // the section group of the function, if it has one, so that both are kept or dropped together.
  asm goto(".pushsection __rseq_cs, \"aw?\"\n\t"
           ".balign 32\n\t"
           "3:\n\t"
           ".long 0, 0\n\t"
           ".quad 1f, 2f - 1f, 4f\n\t"
           ".popsection\n\t"
           "leaq 3b(%%rip), %%rax\n\t"
           "movq %%rax, %%fs:8(%[rseq])\n\t" // struct rseq.rseq_cs
           "1:\n\t"
           "cmpq %[expected], %[word]\n\t"
           "jne %l[no]\n\t"
           "movq %[desired], %[word]\n\t"
           "2:\n\t"
           ".pushsection __rseq_failure, \"ax?\"\n\t"
           ".byte 0x0f, 0xb9, 0x3d\n\t" // ud1 that swallows the signature
           ".long %c[signature]\n\t"
           "4:\n\t"
           "jmp %l[no]\n\t"
           ".popsection\n\t"
           :
           : [rseq] "r"(__rseq_offset), [word] "m"(word), [expected] "r"(expected), [desired] "r"(desired),
             [signature] "i"(RSEQ_SIG)
           : "memory", "cc", "rax"
           : no);
  return true;
no:
  return false;
}

#else

inline bool owner_store_enable() noexcept { return false; }
inline void owner_store_barrier() noexcept {}
inline bool owner_store(std::atomic<std::uint64_t> &, std::uint64_t, std::uint64_t) noexcept { return false; }

#endif

} // namespace ef
#endif

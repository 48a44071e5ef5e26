/* SPDX-License-Identifier: BSD-2-Clause */
/* Concurrency Kit's operations on words (ck_pr) for the C files here. ThreadSanitizer cannot see into their assembly
 * nor see fences: in its builds the same operations are made of what it can see. */
#ifndef EF_LOCKFREE_CK_WORDS_H
#define EF_LOCKFREE_CK_WORDS_H

#include <ck_pr.h>

#if defined(__SANITIZE_THREAD__)
#define EF_CK_SEEN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EF_CK_SEEN 1
#endif
#endif

#if defined(EF_CK_SEEN)
#include <sanitizer/tsan_interface.h>

#undef ck_pr_load_ptr
#undef ck_pr_store_ptr
#define ck_pr_load_ptr(from) __atomic_load_n((from), __ATOMIC_ACQUIRE)
#define ck_pr_store_ptr(to, value) __atomic_store_n((to), (value), __ATOMIC_RELEASE)
#define ck_pr_fas_ptr(to, value) __atomic_exchange_n((to), (value), __ATOMIC_ACQ_REL)
#define ck_pr_cas_ptr_value(to, old, value, seen)                                                                      \
  (*(seen) = (old), __atomic_compare_exchange_n((to), (seen), (value), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))

/* The assembly itself, since the compiler's own 16-byte operation may be a lock; told to the tool as the acquire it is.
 */
static inline bool ef_ck_cas_ptr_2_value(void *to, void *old, void *value, void *seen) {
  bool done = ck_pr_cas_ptr_2_value(to, old, value, seen);
  __tsan_acquire(to);
  return done;
}
#define ck_pr_cas_ptr_2_value ef_ck_cas_ptr_2_value
#endif

#endif

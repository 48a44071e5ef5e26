// SPDX-License-Identifier: BSD-2-Clause
// The C files of lockfree/ with forced preemption inside: include this, rename their functions, include the file.
#ifndef EF_STRESS_CK_HH
#define EF_STRESS_CK_HH

#include "ck_words.h"
#include "stress.hh"

// The fences stand where it matters: between what was read and the swap that relies on it.
#define ck_pr_fence_release() (stress::shake(), ck_pr_fence_release())
#define ck_pr_fence_acquire() (stress::shake(), ck_pr_fence_acquire())

#endif

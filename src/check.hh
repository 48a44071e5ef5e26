// SPDX-License-Identifier: BSD-2-Clause
// EF_CHECK: for our own mistakes only, kept in release builds; what a caller, a disk or a kernel can do gets an errno.
#ifndef EF_CHECK_HH
#define EF_CHECK_HH

namespace ef {
[[noreturn]] void check_failed(const char *what, const char *file, int line) noexcept;
}

#define EF_CHECK(condition) ((condition) ? (void)0 : ::ef::check_failed(#condition, __FILE__, __LINE__))

#endif

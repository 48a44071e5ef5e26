// SPDX-License-Identifier: BSD-2-Clause
// Memory of this process, as the kernel counts it.
#ifndef EF_BENCH_MEMORY_HH
#define EF_BENCH_MEMORY_HH

namespace bench {

// Kilobytes by the name of a line of /proc/self/status: VmRSS: is what it has now, VmHWM: the most it had.
double status_kb(const char *name);

void forget_peak(); // the most it had is what it has now

} // namespace bench
#endif

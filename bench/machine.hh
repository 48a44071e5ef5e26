// SPDX-License-Identifier: BSD-2-Clause
// Where and with what was measured: figures mean little without it.
#ifndef EF_BENCH_MACHINE_HH
#define EF_BENCH_MACHINE_HH

#include <string>
#include <utility>
#include <vector>

namespace bench {

using facts = std::vector<std::pair<std::string, std::string>>; // name, value

// Processor, kernel, file systems, versions, and how busy the machine is with other things.
facts describe_machine(const std::string &directory);

std::string load_average();

} // namespace bench
#endif

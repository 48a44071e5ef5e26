// SPDX-License-Identifier: BSD-2-Clause
// Where and with what was measured: figures mean little without it.
#ifndef EF_BENCH_MACHINE_HH
#define EF_BENCH_MACHINE_HH

#include <string>
#include <utility>
#include <vector>

namespace bench {

using facts = std::vector<std::pair<std::string, std::string>>; // name, value

// Processor, kernel, file systems, versions, and how busy the machine was before.
facts describe_machine(const std::string &directory);

// Who else used the processors between start and end of a run: what makes figures doubtful.
class machine_load {
 public:
  machine_load() : before_(now()) {}
  facts report() const; // shares of all processor time since the object was made

 private:
  struct times {
    double all, busy, stolen, ours; // seconds
  };
  static times now();
  times before_;
};

} // namespace bench
#endif

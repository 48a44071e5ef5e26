// SPDX-License-Identifier: BSD-2-Clause
// What was measured, for people (a table, ratios first) and for programs (JSON).
#ifndef EF_BENCH_REPORT_HH
#define EF_BENCH_REPORT_HH

#include "harness.hh"
#include "machine.hh"

namespace bench {

void print_facts(const facts &machine);
void print_row(const row_result &r);

// Each figure the library has to reach, with what was measured; those of skipped variants are named as such.
void print_goals(const std::vector<row_result> &results);

// False: the file cannot be written.
bool write_json(const std::string &path, const facts &machine, const options &o,
                const std::vector<row_result> &results);

} // namespace bench
#endif

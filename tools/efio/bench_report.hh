// SPDX-License-Identifier: BSD-2-Clause
// The results of efio bench as a table, as JSON and as a picture.
#ifndef EFIO_TOOL_BENCH_REPORT_HH
#define EFIO_TOOL_BENCH_REPORT_HH

#include "bench_run.hh"

#include <string>
#include <vector>

namespace tool {

// What the results are of.
struct bench_setting {
  std::string path, file_system, kernel, engine, engine_reason;
  std::uint64_t size = 0;
  double clock_ns = 0;
};
bench_setting setting_of(const std::string &path, const bench_files &files);

std::string table(const bench_setting &s, const std::vector<outcome> &all);
std::string as_json(const bench_setting &s, const std::vector<outcome> &all);
std::string as_svg(const bench_setting &s, const std::vector<outcome> &all);

} // namespace tool
#endif

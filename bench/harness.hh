// SPDX-License-Identifier: BSD-2-Clause
// What every row is made of: variants that are measured in turn, each time in a process of its own, and what is kept
// of them.
#ifndef EF_BENCH_HARNESS_HH
#define EF_BENCH_HARNESS_HH

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct options {
  std::string directory;            // where files are written and read: ours, removed at the end
  std::string memory_directory;     // the same in /dev/shm; empty = there is none
  std::string json;                 // the machine-readable result
  std::vector<std::string> only;    // rows by the beginnings of their names; empty = all
  double seconds = 0.2;             // one measurement takes about so long
  double loop_seconds = 0.5;        // the same of many reads in a loop
  double idle_seconds = 10;         // the idle library is watched for so long
  double stall_seconds = 2;         // the disk stands still for so long
  std::size_t cold_bytes = 1 << 30; // of the file that is read cold
  int repetitions = 5;
};

constexpr int metrics_max = 8, windows_max = 8;

struct metric {
  const char *name; // with its unit
  int decimals;
  bool spread = true; // the table shows minimum and maximum beside the median
};

// One measurement of about so many seconds: fills one value for each metric of the row. It runs in a child process
// that ends afterwards, forked from a process that has never started a thread: nothing is inherited from the
// measurement before, neither memory, nor threads, nor what a library has learned.
using measure_fn = std::function<void(double seconds, double *values)>;

struct variant {
  std::string name;
  measure_fn measure;
};

// A figure that the library has to reach: of one variant, or its ratio to another one.
struct goal {
  std::string text;
  std::string variant, against; // against empty: the figure itself
  int metric;
  bool at_most; // else at least
  double bound;
  bool worst = false; // the worst of all repetitions instead of their median
};

// A ratio that is shown below the table, of these metrics.
struct comparison {
  std::string variant, against;
  std::vector<int> metrics;
};

struct row {
  std::string name, title;
  std::vector<metric> metrics;
  std::vector<variant> variants;
  std::string reference; // ratios are to this variant; empty = no ratios
  int ratio_metric = 0;
  std::vector<goal> goals = {};
  std::vector<comparison> comparisons = {};
  double seconds = 0;                              // of one measurement; 0 = options::seconds
  std::function<void()> prepare = {}, finish = {}; // in the parent: files only, no threads, nothing of the library
  bool warm_up = true;                             // a short round before, not counted
  int windows = 1; // more: one measurement answers so many samples, metrics_max values apart, and is made only once
};

struct outcome {
  std::string name;
  std::vector<std::vector<double>> samples; // [metric][repetition]
  std::string skipped, failed;              // why there are none
};

struct row_result {
  const row *of;
  std::vector<outcome> outcomes; // in the order of row::variants
  double seconds;                // that all of it took
};

// ---- Rows announce themselves before main, so that a family whose library is missing can be left out of the build.
using family_fn = void (*)(const options &, std::vector<row> *);
struct family {
  family(int place, family_fn make); // families are shown in the order of their places
};
std::vector<row> all_rows(const options &o);

// Measures a row: a warm-up round, then o.repetitions rounds of all variants in turn. A variant that fails once is not
// measured again.
row_result run_row(const row &r, const options &o);

// True after SIGINT or SIGTERM: no new measurement is started.
bool interrupted();
void watch_for_interruption();

// ---- In a measurement: its end, when it cannot be made here, or when what it measures answers wrongly.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char *format, ...);
[[noreturn, gnu::format(printf, 1, 2)]] void skip(const char *format, ...);

// ---- Statistics
struct summary {
  double median, least, most, quartile1, quartile3;
};
summary summarize(std::vector<double> samples); // of one sample at least
double percentile(const std::vector<double> &sorted, double share);

const outcome *find(const row_result &r, const std::string &variant);
// Round by round: what was measured in the same round is compared.
std::vector<double> ratios(const outcome &o, const outcome &reference, int metric);

} // namespace bench
#endif

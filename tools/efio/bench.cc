// SPDX-License-Identifier: BSD-2-Clause
// efio bench: options, the run, and where its results go.
#include "bench_files.hh"
#include "bench_report.hh"
#include "bench_run.hh"
#include "command.hh"
#include "loop.hh"
#include "progress.hh"

#include <getopt.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace tool {
namespace {

constexpr std::uint64_t size_least = 1 << 20, size_most = 1ULL << 40;
constexpr double seconds_least = 0.01, seconds_most = 3600;

struct wishes {
  std::uint64_t size = 256 << 20;
  double seconds = 2;
  int rounds = 4;
  std::vector<const bench_test *> tests;
  std::string json, svg;
  progress::wish progress_wish = progress::if_terminal;
};

// "64M": a whole number and K, M, G or T for powers of 1024.
bool parse_size(const char *text, std::uint64_t *out) {
  const char *end = text + std::strlen(text);
  auto [stopped, error] = std::from_chars(text, end, *out);
  if (error != std::errc() || *out == 0) return false;
  if (stopped != end) {
    const char *letters = "KMGT", *letter = std::strchr(letters, *stopped);
    if (!letter || stopped + 1 != end) return false;
    int shift = static_cast<int>(letter - letters + 1) * 10;
    if (*out > size_most >> shift) return false;
    *out <<= shift;
  }
  return *out >= size_least && *out <= size_most;
}

bool parse_seconds(const char *text, double *out) {
  const char *end = text + std::strlen(text);
  auto [stopped, error] = std::from_chars(text, end, *out);
  return error == std::errc() && stopped == end && *out >= seconds_least && *out <= seconds_most;
}

// Names with commas between them; each test once, in the order of the list.
bool parse_tests(std::string names, std::vector<const bench_test *> *out) {
  names = "," + names + ",";
  out->clear();
  std::size_t known = 0;
  for (const bench_test &t : bench_tests()) {
    std::string name = std::string(",") + t.name + ",";
    if (names.find(name) == std::string::npos) continue;
    out->push_back(&t);
    known += name.size() - 1;
  }
  return known == names.size() - 1; // nothing else was among them
}

int list_tests() {
  for (const bench_test &t : bench_tests()) std::printf("%-17s%s\n", t.name, t.title);
  return finish_output(exit_good);
}

// Where results go, opened before anything is measured: "" = nowhere, "-" = standard output.
class output {
 public:
  output() = default;
  output(const output &) = delete;
  output &operator=(const output &) = delete;
  ~output() { (void)end(); }
  bool open(const std::string &name);
  bool write(const std::string &text);

 private:
  bool end() { return !file_ || std::fclose(std::exchange(file_, nullptr)) == 0; }
  bool tell(int error) { return complain("%s: %s", name_.c_str(), std::strerror(error)), false; }
  std::string name_;
  std::FILE *file_ = nullptr;
};

// What the file had stays until it is replaced.
bool output::open(const std::string &name) {
  name_ = name;
  if (name.empty() || name == "-") return true;
  file_ = std::fopen(name.c_str(), "ae");
  return file_ || tell(errno);
}

bool output::write(const std::string &text) {
  if (name_.empty()) return true;
  if (!file_) return std::fputs(text.c_str(), stdout) >= 0;
  // EINVAL: a pipe or a device, which holds nothing.
  bool good = (ftruncate(fileno(file_), 0) == 0 || errno == EINVAL) && std::fputs(text.c_str(), file_) >= 0;
  int error = errno;
  if (!end()) good = false, error = errno;
  return good || tell(error);
}

struct outputs {
  output json, svg;
};

int report(const wishes &w, outputs *to, const bench_setting &setting, const std::vector<outcome> &all) {
  int status = exit_good;
  for (const outcome &o : all)
    if (!o.failed.empty()) status = exit_trouble;
  if (w.json != "-" && w.svg != "-") std::fputs(table(setting, all).c_str(), stdout);
  if (!to->json.write(as_json(setting, all))) status = exit_trouble;
  if (!to->svg.write(as_svg(setting, all))) status = exit_trouble;
  return finish_output(status);
}

int measure(const wishes &w, const std::string &path) {
  if (int error = loop().open()) return complain("%s", no_port(-error).c_str()), exit_trouble;
  progress shown(w.progress_wish);
  shown.show(0, "preparing the files");
  bench_files files;
  std::string error = files.prepare(path, w.size);
  if (!error.empty()) {
    shown.clear();
    complain("%s", error.c_str());
    return exit_trouble;
  }
  outputs to;
  if (!to.json.open(w.json) || !to.svg.open(w.svg)) return exit_trouble;
  bench_setting setting = setting_of(path, files);
  std::vector<outcome> all = run_tests(w.tests, files, w.seconds, w.rounds,
                                       [&shown](double share, const std::string &what) { shown.show(share, what); });
  shown.clear();
  return report(w, &to, setting, all);
}

constexpr option long_options[] = {{"size", required_argument, nullptr, 's'},
                                   {"seconds", required_argument, nullptr, 't'},
                                   {"quick", no_argument, nullptr, 'q'},
                                   {"only", required_argument, nullptr, 'o'},
                                   {"list", no_argument, nullptr, 'l'},
                                   {"json", required_argument, nullptr, 'j'},
                                   {"svg", required_argument, nullptr, 'g'},
                                   {"progress", no_argument, nullptr, 'p'},
                                   {"no-progress", no_argument, nullptr, 'P'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};

void be_quick(wishes *w) {
  w->size = 32 << 20;
  w->seconds = 0.2;
  w->rounds = 2;
}

// -1: go on; else the exit status.
int take_option(int letter, char **argv, wishes *w) {
  switch (letter) {
  case 's':
    return parse_size(optarg, &w->size) ? -1 : wrong_argument(argv[0], "--size", optarg, "1M to 1T, in K, M, G or T");
  case 't':
    return parse_seconds(optarg, &w->seconds) ? -1 : wrong_argument(argv[0], "--seconds", optarg, "0.01 to 3600");
  case 'q':
    return be_quick(w), -1;
  case 'o':
    return parse_tests(optarg, &w->tests)
               ? -1
               : wrong_argument(argv[0], "--only", optarg, "names of --list, each once, commas between");
  case 'l':
    return list_tests();
  case 'j':
    return w->json = optarg, -1;
  case 'g':
    return w->svg = optarg, -1;
  case 'p':
    return w->progress_wish = progress::always, -1;
  case 'P':
    return w->progress_wish = progress::never, -1;
  case 'h':
    return std::fputs(bench.help, stdout), finish_output(exit_good);
  default:
    return usage_error(argv[0]);
  }
}

int run_bench(int argc, char **argv) {
  wishes w;
  for (int letter; (letter = getopt_long(argc, argv, "s:t:qo:lj:pPh", long_options, nullptr)) != -1;)
    if (int status = take_option(letter, argv, &w); status >= 0) return status;
  if (w.tests.empty())
    for (const bench_test &t : bench_tests()) w.tests.push_back(&t);
  if (w.json == "-" && w.svg == "-") {
    complain("--json and --svg cannot both go to standard output");
    return usage_error(argv[0]);
  }
  if (optind + 1 != argc) {
    complain(optind == argc ? "a path is missing" : "one path only");
    return usage_error(argv[0]);
  }
  return measure(w, argv[optind]);
}

} // namespace

const command bench = {
    "bench", "how fast reads and writes are here, beside the plain system calls",
    "Usage: efio bench [OPTION]... PATH\n"
    "Measures libefio beside pread, read, write and fdatasync. PATH is a directory, in which temporary files are\n"
    "made and removed, or a file, which is only read (and put out of the kernel's cache for that).\n\n"
    "  -s, --size SIZE      of each temporary file, or how much of the file is used: 1M to 1T (default 256M)\n"
    "  -t, --seconds S      for each of the two sides of a test: 0.01 to 3600 (default 2)\n"
    "  -q, --quick          --size 32M --seconds 0.2, and fewer rounds: a look, not a measurement\n"
    "  -o, --only TEST,...  these tests alone\n"
    "  -l, --list           the tests\n"
    "  -j, --json FILE      results and histograms as JSON; '-' = standard output, instead of the table\n"
    "      --svg FILE       the distributions of the latencies as a picture\n"
    "  -p, --progress       progress on standard error also where that is no terminal\n"
    "      --no-progress    none\n"
    "  -h, --help           this text\n\n"
    "Exit status: 0 good, 1 a test failed or nothing could be measured, 2 wrong usage.\n",
    run_bench};

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// efio-bench: the library beside what else could have been used, in one run.
#include "files.hh"
#include "harness.hh"
#include "machine.hh"
#include "report.hh"
#include "timing.hh"

#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

using namespace bench;

constexpr int repetitions_min = 5, usage_status = 2;

void print_help() {
  std::puts("efio-bench [OPTIONS]   measures efio beside what else could have been used\n"
            "  --list              names of the rows\n"
            "  --only ROW,ROW...   only rows whose names begin so\n"
            "  --seconds S         length of one measurement (default 0.2)\n"
            "  --loop-seconds S    the same of many reads in a loop (default 0.5)\n"
            "  --repetitions N     of each measurement, 5 at least (default 5)\n"
            "  --idle-seconds S    how long the idle library is watched (default 10)\n"
            "  --size MIB          of the file that is read cold (default 1024)\n"
            "  --quick             --seconds 0.02 --loop-seconds 0.2 --idle-seconds 1 --size 256\n"
            "  --dir PATH          files are made in a directory of their own in it (default: beside the program)\n"
            "  --json FILE         the result for programs (default: bench.json beside the program)\n"
            "  --help              this\n"
            "Ends with 1 if something measured went wrong: lines missing, bytes that differ, an error.");
}

std::vector<std::string> split(const char *words) {
  std::vector<std::string> all;
  for (const char *end; *words; words = *end ? end + 1 : end) {
    end = strchrnul(words, ',');
    if (end != words) all.emplace_back(words, end);
  }
  return all;
}

double number(const char *option, const char *value, double least) {
  char *end;
  double n = std::strtod(value, &end);
  if (*end == '\0' && end != value && n >= least && n <= 1e6) return n;
  std::fprintf(stderr, "efio-bench: --%s: a number, at least %g\n", option, least);
  std::exit(usage_status);
}

const option long_options[] = {{"list", no_argument, nullptr, 'l'},
                               {"only", required_argument, nullptr, 'o'},
                               {"seconds", required_argument, nullptr, 's'},
                               {"loop-seconds", required_argument, nullptr, 'L'},
                               {"repetitions", required_argument, nullptr, 'r'},
                               {"idle-seconds", required_argument, nullptr, 'i'},
                               {"size", required_argument, nullptr, 'z'},
                               {"quick", no_argument, nullptr, 'q'},
                               {"dir", required_argument, nullptr, 'd'},
                               {"json", required_argument, nullptr, 'j'},
                               {"help", no_argument, nullptr, 'h'},
                               {}};

void be_quick(options *o) {
  o->seconds = 0.02;
  o->loop_seconds = 0.2;
  o->idle_seconds = 1;
  o->stall_seconds = 0.5;
  o->cold_bytes = 256u << 20;
}

void take_option(int letter, options *o) {
  switch (letter) {
  case 'o':
    o->only = split(optarg);
    break;
  case 's':
    o->seconds = number("seconds", optarg, 0.001);
    break;
  case 'L':
    o->loop_seconds = number("loop-seconds", optarg, 0.001);
    break;
  case 'r':
    o->repetitions = static_cast<int>(number("repetitions", optarg, repetitions_min));
    break;
  case 'i':
    o->idle_seconds = number("idle-seconds", optarg, 0.5);
    break;
  case 'z':
    o->cold_bytes = static_cast<std::size_t>(number("size", optarg, 1)) << 20;
    break;
  case 'q':
    be_quick(o);
    break;
  case 'd':
    o->directory = optarg;
    break;
  case 'j':
    o->json = optarg;
    break;
  default:
    std::fputs("efio-bench: see --help\n", stderr);
    std::exit(usage_status);
  }
}

std::vector<row> wanted_rows(const options &o) {
  std::vector<row> rows = all_rows(o);
  if (o.only.empty()) return rows;
  std::erase_if(rows, [&](const row &r) {
    return std::none_of(o.only.begin(), o.only.end(),
                        [&](const std::string &name) { return r.name.rfind(name, 0) == 0; });
  });
  if (!rows.empty()) return rows;
  std::fputs("efio-bench: no such row, see --list\n", stderr);
  std::exit(usage_status);
}

// Known before measuring rather than after it.
void check_json(const options &o) {
  if (std::FILE *f = std::fopen(o.json.c_str(), "ae")) {
    std::fclose(f);
    return;
  }
  std::perror(("efio-bench: " + o.json).c_str());
  std::exit(1);
}

bool all_good(const std::vector<row_result> &results) {
  for (const row_result &r : results)
    for (const outcome &o : r.outcomes)
      if (!o.failed.empty()) return false;
  return true;
}

int run(const options &o, const std::vector<row> &rows) {
  std::int64_t began = now_ns();
  machine_load load;
  facts machine = describe_machine(o.directory);
  print_facts(machine);
  std::vector<row_result> results;
  for (const row &r : rows) {
    if (interrupted()) break;
    results.push_back(run_row(r, o));
    print_row(results.back());
  }
  print_goals(results);
  facts after = load.report();
  machine.insert(machine.end(), after.begin(), after.end());
  std::printf("\n%.0f s\n", static_cast<double>(now_ns() - began) / 1e9);
  print_facts(after);
  if (interrupted()) return 130;
  if (!write_json(o.json, machine, o, results)) return std::perror(("efio-bench: " + o.json).c_str()), 1;
  std::printf("written: %s\n", o.json.c_str());
  return all_good(results) ? 0 : 1;
}

int list(const options &o) {
  for (const row &r : all_rows(o)) std::printf("%-22s%s\n", r.name.c_str(), r.title.c_str());
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  options o;
  o.directory = program_directory();
  o.json = o.directory + "/bench.json";
  bool only_list = false;
  for (int letter; (letter = getopt_long(argc, argv, "", long_options, nullptr)) != -1;) {
    if (letter == 'h') return print_help(), 0;
    if (letter == 'l')
      only_list = true;
    else
      take_option(letter, &o);
  }
  o.memory_directory = "/dev/shm";
  if (only_list) return list(o);
  wanted_rows(o);
  check_json(o);
  std::string parent = o.directory;
  o.directory = make_directory(parent);
  if (o.directory.empty()) return std::perror(("efio-bench: " + parent).c_str()), 1;
  o.memory_directory = make_directory(o.memory_directory);
  watch_for_interruption();
  int status = run(o, wanted_rows(o)); // anew: rows hold the paths of their files
  remove_directory(o.directory);
  remove_directory(o.memory_directory);
  return status;
}

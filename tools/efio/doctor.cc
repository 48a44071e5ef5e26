// SPDX-License-Identifier: BSD-2-Clause
// efio doctor: asks for everything, each part with a deadline, and shows it as text or JSON.
#include "doctor_probes.hh"

#include "command.hh"
#include "json.hh"

#include <efio.h>
#include <getopt.h>

#include <cstdio>
#include <string>
#include <vector>

namespace tool {
namespace {

constexpr int seconds_default = 5, seconds_max = 3600;

struct section {
  std::string title; // "" = the system, else a path
  facts found;
};

// In columns of the terminal a label is as wide as its letters: all of ours are ASCII.
void print_section(const section &s) {
  std::printf("%s\n", s.title.empty() ? "System" : s.title.c_str());
  for (const fact &f : s.found) {
    std::printf("  %-32s%s%s", f.label.c_str(), f.of == fact::failed ? "NOT FOUND OUT: " : "", f.value.c_str());
    std::printf(f.note.empty() ? "\n" : " (%s)\n", f.note.c_str());
  }
}

void print_advice(const std::vector<advice> &all, bool complete) {
  std::puts("Advice");
  for (const advice &a : all) std::printf("  %s%s%s\n", a.about.c_str(), a.about.empty() ? "" : ": ", a.text.c_str());
  if (all.empty()) std::puts(complete ? "  nothing to improve" : "  none: not everything was found out");
}

void add_facts(json *out, const facts &all) {
  for (const fact &f : all) {
    const char *key = f.key.c_str();
    if (f.of == fact::number)
      out->integer(key, std::stoull(f.value));
    else if (f.of == fact::failed)
      out->null(key), out->text((f.key + "_error").c_str(), f.value);
    else
      out->text(key, f.value);
    if (!f.note.empty()) out->text((f.key + "_note").c_str(), f.note);
  }
}

void print_json(const std::vector<section> &sections, const std::vector<advice> &all) {
  json out;
  out.begin_object();
  out.begin_object("system");
  add_facts(&out, sections[0].found);
  out.end_object();
  out.begin_array("paths");
  for (std::size_t i = 1; i < sections.size(); ++i) {
    out.begin_object();
    out.text("name", sections[i].title);
    add_facts(&out, sections[i].found);
    out.end_object();
  }
  out.end_array();
  out.begin_array("advice");
  for (const advice &a : all) {
    out.begin_object();
    if (a.about.empty())
      out.null("about");
    else
      out.text("about", a.about);
    out.text("text", a.text);
    out.end_object();
  }
  out.end_array();
  out.end_object();
  std::fputs(out.finish().c_str(), stdout);
}

section examine(const std::string &path, int seconds) {
  section s{path, run_apart([&path](reporter &out) { probe_path(out, path); }, seconds)};
  // Where it hung before it could tell its mount.
  if (value_of(s.found, "file_system").empty())
    s.found.insert(s.found.begin(), fact{fact::text, "mount", "mount, by its name", mount_by_name(path), ""});
  return s;
}

int diagnose(const std::vector<std::string> &paths, int seconds, bool as_json) {
  std::vector<section> sections = {{"", run_apart(probe_system, seconds)}};
  std::vector<advice> all = advise_system(sections[0].found);
  for (const std::string &path : paths) {
    sections.push_back(examine(path, seconds));
    for (const advice &a : advise_path(path, sections.back().found)) all.push_back(a);
  }
  int status = exit_good;
  for (const section &s : sections)
    for (const fact &f : s.found)
      if (f.of == fact::failed) status = exit_trouble;
  if (as_json) {
    print_json(sections, all);
  } else {
    for (const section &s : sections) print_section(s);
    print_advice(all, status == exit_good);
  }
  return finish_output(status);
}

int run_doctor(int argc, char **argv) {
  static const option options[] = {{"json", no_argument, nullptr, 'j'},
                                   {"timeout", required_argument, nullptr, 't'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};
  bool as_json = false;
  int seconds = seconds_default;
  for (int letter; (letter = getopt_long(argc, argv, "jt:h", options, nullptr)) != -1;) switch (letter) {
    case 'j':
      as_json = true;
      break;
    case 't':
      if (!parse_number(optarg, 1, seconds_max, &seconds))
        return wrong_argument(argv[0], "--timeout", optarg, "1 to 3600");
      break;
    case 'h':
      std::fputs(doctor.help, stdout);
      return finish_output(exit_good);
    default:
      return usage_error(argv[0]);
    }
  std::vector<std::string> paths(argv + optind, argv + argc);
  if (paths.empty()) paths = {"."};
  return diagnose(paths, seconds, as_json);
}

} // namespace

const command doctor = {"doctor", "what reading and writing will be like here, why, and what would help",
                        "Usage: efio doctor [OPTION]... [PATH]...\n"
                        "Tells the kernel, the engine that libefio takes and why, the limits, and what the file\n"
                        "systems of the paths (default: the current directory) can do: it is tried in a temporary\n"
                        "file, which is gone afterwards, or, where nothing may be written, on a file that is there.\n\n"
                        "  -j, --json             as JSON\n"
                        "  -t, --timeout SECONDS  how long one path may take, 1 to 3600 (default 5): a file system\n"
                        "                         that hangs is told, and does not stop the others\n"
                        "  -h, --help             this text\n\n"
                        "Exit status: 0 good, 1 something could not be found out, 2 wrong usage.\n",
                        run_doctor};

} // namespace tool

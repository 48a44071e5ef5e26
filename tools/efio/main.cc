// SPDX-License-Identifier: BSD-2-Clause
// efio COMMAND ...: finds the command and runs it.
#include "command.hh"

#include <efio.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace {

const tool::command *const commands[] = {&tool::doctor, &tool::bench, &tool::cat};

void help() {
  std::puts("Usage: efio COMMAND [OPTION]... [ARGUMENT]...\n"
            "Tells how well files can be read and written on this system without waiting, with libefio.\n");
  for (const tool::command *c : commands) std::printf("  %-8s%s\n", c->name, c->summary);
  std::puts("\n  -h, --help     this text; 'efio COMMAND --help' for a command\n"
            "  -V, --version  the version\n\n"
            "Exit status: 0 good, 1 trouble, 2 wrong usage. The manual: efio(1).");
}

// A standard descriptor that is closed would be given to the next file that is opened, of ours or of the library. It
// gets one that answers EBADF to reads or writes as a closed one does.
void keep_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int run(const tool::command &c, int argc, char **argv) {
  std::string program = std::string("efio ") + c.name;
  argv[0] = program.data();
  optind = 0; // getopt_long begins anew
  return c.run(argc, argv);
}

} // namespace

int main(int argc, char **argv) {
  keep_standard_descriptors();
  static char name[] = "efio";
  argv[0] = name; // as messages of getopt_long shall show it
  static const option options[] = {
      {"help", no_argument, nullptr, 'h'}, {"version", no_argument, nullptr, 'V'}, {nullptr, 0, nullptr, 0}};
  for (int letter; (letter = getopt_long(argc, argv, "+hV", options, nullptr)) != -1;) switch (letter) {
    case 'h':
      help();
      return tool::finish_output(tool::exit_good);
    case 'V':
      std::printf("efio %s\n", ef_version());
      return tool::finish_output(tool::exit_good);
    default:
      return tool::usage_error("efio");
    }
  if (optind >= argc) {
    tool::complain("a command is missing");
    return tool::usage_error("efio");
  }
  for (const tool::command *c : commands)
    if (std::strcmp(argv[optind], c->name) == 0) return run(*c, argc - optind, argv + optind);
  tool::complain("'%s' is not a command", argv[optind]);
  return tool::usage_error("efio");
}

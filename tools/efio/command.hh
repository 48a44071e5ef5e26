// SPDX-License-Identifier: BSD-2-Clause
// A command of the efio program: its name, its help, and how it speaks of trouble.
#ifndef EFIO_TOOL_COMMAND_HH
#define EFIO_TOOL_COMMAND_HH

#include <string>

namespace tool {

// Exit statuses; cat(1) and getopt have the same.
enum { exit_good = 0, exit_trouble = 1, exit_usage = 2 };

struct command {
  const char *name, *summary, *help;
  int (*run)(int argc, char **argv); // argv[0] is "efio NAME", as getopt_long and messages show it
};
extern const command doctor, bench, cat;

// "efio: " and a line on standard error.
[[gnu::format(printf, 1, 2)]] void complain(const char *format, ...);

// The answer to a wrong option or operand, after its own message: where help is, and exit_usage.
int usage_error(const char *program);

// The same for an option with an argument that it cannot have, message included; it tells what the option can have.
int wrong_argument(const char *program, const char *option, const char *argument, const char *right);

// A whole number of the range, all of the text, or false.
bool parse_number(const char *text, int least, int most, int *out);

// What was printed on standard output has arrived, or exit_trouble and a message; status as it was otherwise.
int finish_output(int status);

// "ENOENT", or the number of an errno without a name.
std::string errno_name(int error);

} // namespace tool
#endif

// SPDX-License-Identifier: BSD-2-Clause
// What all commands say in the same way.
#include "command.hh"

#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace tool {

void complain(const char *format, ...) {
  std::fflush(stdout);
  std::fputs("efio: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}

int usage_error(const char *program) {
  std::fprintf(stderr, "Try '%s --help' for more information.\n", program);
  return exit_usage;
}

int wrong_argument(const char *program, const char *option, const char *argument, const char *right) {
  complain("%s cannot be '%s': %s", option, argument, right);
  return usage_error(program);
}

bool parse_number(const char *text, int least, int most, int *out) {
  const char *end = text + std::strlen(text);
  auto [stopped, error] = std::from_chars(text, end, *out);
  return error == std::errc() && stopped == end && *out >= least && *out <= most;
}

int finish_output(int status) {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
  complain("write error: %s", std::strerror(errno));
  return exit_trouble;
}

std::string errno_name(int error) {
  const char *name = strerrorname_np(error);
  return name ? name : "errno " + std::to_string(error);
}

} // namespace tool

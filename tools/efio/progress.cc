// SPDX-License-Identifier: BSD-2-Clause
// Progress.
#include "progress.hh"

#include <unistd.h>

#include <cstdio>

namespace tool {

progress::progress(wish w) : terminal_(isatty(STDERR_FILENO)), on_(w == always || (w == if_terminal && terminal_)) {}

void progress::show(double share, const std::string &what) {
  if (!on_ || (!terminal_ && what == last_)) return;
  last_ = what;
  shown_ = terminal_;
  std::fprintf(stderr, "%s[%3.0f %%] %s%s", terminal_ ? "\r\033[K" : "", share * 100, what.c_str(),
               terminal_ ? "" : "\n");
}

void progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

} // namespace tool

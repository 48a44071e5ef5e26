// SPDX-License-Identifier: BSD-2-Clause
// How far a long run is, on standard error: one line that changes on a terminal, a line for each step elsewhere.
#ifndef EFIO_TOOL_PROGRESS_HH
#define EFIO_TOOL_PROGRESS_HH

#include <string>

namespace tool {

class progress {
 public:
  enum wish { if_terminal, always, never };
  explicit progress(wish w);
  ~progress() { clear(); }
  void show(double share, const std::string &what);
  void clear(); // before anything else is printed

 private:
  bool terminal_, on_, shown_ = false;
  std::string last_;
};

} // namespace tool
#endif

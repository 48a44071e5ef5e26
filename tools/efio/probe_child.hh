// SPDX-License-Identifier: BSD-2-Clause
// Probes run in a process of their own: one that a hung file system or a system call filter stops does not stop us.
#ifndef EFIO_TOOL_PROBE_CHILD_HH
#define EFIO_TOOL_PROBE_CHILD_HH

#include <functional>
#include <string>
#include <vector>

namespace tool {

// One thing found out. A failed one could not be found out; its value tells why.
struct fact {
  enum kind { text = 't', number = 'n', failed = 'f' };
  char of;
  std::string key, label, value, note;
};
using facts = std::vector<fact>;

// "" if there is none, or it failed.
std::string value_of(const facts &all, const char *key);

// The child's end. What is told arrives even if the next step never ends.
class reporter {
 public:
  explicit reporter(int fd) : fd_(fd) {}
  void step(const std::string &doing) { send('s', "", "", doing, ""); } // what comes next, for the case that it hangs
  void text(const char *key, const char *label, const std::string &value, const std::string &note = "") {
    send(fact::text, key, label, value, note);
  }
  void number(const char *key, const char *label, unsigned long long value, const std::string &note = "") {
    send(fact::number, key, label, std::to_string(value), note);
  }
  void failed(const char *key, const char *label, const std::string &why) { send(fact::failed, key, label, why, ""); }

 private:
  void send(char of, const std::string &key, const std::string &label, const std::string &value,
            const std::string &note);
  int fd_;
};

// Runs the probe in a child for at most so many seconds. A child that did not come to its end is one failed fact more,
// which names the step it was at; it is killed, but not waited for: a hung file system holds even the dead.
facts run_apart(const std::function<void(reporter &)> &probe, int seconds);

} // namespace tool
#endif

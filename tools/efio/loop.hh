// SPDX-License-Identifier: BSD-2-Clause
// The smallest event loop: one port, whose descriptor is polled. What any loop without an adapter does.
#ifndef EFIO_TOOL_LOOP_HH
#define EFIO_TOOL_LOOP_HH

#include <efio.h>

#include <string>

namespace tool {

// Why there is no port, for a message: EINVAL is that of EFIO_ENGINE, which is named.
std::string no_port(int error);

class loop {
 public:
  loop() = default;
  loop(const loop &) = delete;
  loop &operator=(const loop &) = delete;
  ~loop();

  // 0, or a negated errno; once, before anything else.
  int open();
  ef_port *port() const { return port_; }

  // Hands over what waits, and takes what has happened: at least one event, at most max; or a negated errno.
  int wait(ef_event *out, int max);

  // Until one of the events of the file that were asked for, or of its trouble, has come; its errno or 0.
  int await(int file, unsigned events);

  // Until the request is over; 0, or an errno that has nothing to do with it.
  int await(const ef_request *request);

 private:
  ef_port *port_ = nullptr;
  int descriptor_ = -1;
};

} // namespace tool
#endif

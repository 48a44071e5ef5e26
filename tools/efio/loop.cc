// SPDX-License-Identifier: BSD-2-Clause
// Submit, poll, take.
#include "loop.hh"

#include "command.hh"

#include <poll.h>

#include <cerrno>
#include <cstdlib>

namespace tool {

std::string no_port(int error) {
  const char *asked = std::getenv("EFIO_ENGINE");
  if (error == EINVAL && asked) return std::string("EFIO_ENGINE=") + asked + ": not auto, uring or threads";
  return "ef_port_new: " + errno_name(error);
}

loop::~loop() {
  if (port_) ef_port_abandon(port_);
}

int loop::open() {
  port_ = ef_port_new(nullptr);
  if (!port_) return -errno;
  descriptor_ = ef_port_fd(port_);
  return descriptor_ < 0 ? -errno : 0;
}

int loop::wait(ef_event *out, int max) {
  for (;;) {
    int count = ef_port_next(port_, out, max);
    if (count != 0) return count > 0 ? count : -errno;
    if (ef_port_submit(port_) < 0) return -errno;
    pollfd p{descriptor_, POLLIN, 0};
    if (poll(&p, 1, -1) < 0 && errno != EINTR) return -errno;
  }
}

int loop::await(int file, unsigned events) {
  for (ef_event e;;) {
    if (int count = wait(&e, 1); count < 0) return -count;
    if (e.fd == file && (e.events & (events | EF_ERROR))) return e.error;
  }
}

int loop::await(const ef_request *request) {
  for (ef_event e;;) {
    if (int count = wait(&e, 1); count < 0) return -count;
    if ((e.events & EF_REQUEST) && e.data == request) return 0;
  }
}

} // namespace tool

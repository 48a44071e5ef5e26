// SPDX-License-Identifier: BSD-2-Clause
// What every function of the C face does on the way in and out: take a reference, turn a negated errno into -1 and
// errno.
#ifndef EF_CAPI_HH
#define EF_CAPI_HH

#pragma GCC visibility push(default)
#include <efio.h>
#pragma GCC visibility pop

#include "flusher.hh"
#include "process.hh"

#include <cerrno>

namespace ef {

template<class T> T answer(T r) noexcept {
  if (r >= 0) return r;
  errno = static_cast<int>(-r);
  return -1;
}

inline ef_port *no_port(int error) noexcept {
  errno = -error;
  return nullptr;
}

// A reference for the length of a call.
class file_reference {
 public:
  explicit file_reference(int fd) noexcept : error_(files.get(fd, &f_)) {}
  ~file_reference() {
    if (error_ == 0 && files.put(static_cast<std::uint32_t>(f_->handle) & 0xfffff)) schedule_release(*f_);
  }
  file_reference(const file_reference &) = delete;
  file_reference &operator=(const file_reference &) = delete;
  int error() const noexcept { return error_; }
  file *operator->() const noexcept { return f_; }
  file &operator*() const noexcept { return *f_; }

 private:
  file *f_ = nullptr;
  int error_;
};

} // namespace ef
#endif

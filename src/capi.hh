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

#include <limits.h>

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

// 0 and the sum of the lengths, or what is wrong with the array.
inline int check_iov(const iovec *iov, int count, std::size_t *total) noexcept {
  if (count < 1 || count > limits::iov_max) return -EINVAL;
  if (!iov) return -EFAULT;
  *total = 0;
  for (int i = 0; i < count; ++i) {
    if (iov[i].iov_len > SSIZE_MAX - *total) return -EINVAL;
    if (!iov[i].iov_base && iov[i].iov_len) return -EFAULT;
    *total += iov[i].iov_len;
  }
  return 0;
}

// A reference for the length of a call.
class file_reference {
 public:
  explicit file_reference(int fd) noexcept : error_(files.get(fd, &f_)) {}
  ~file_reference() {
    if (error_ == 0) put_reference(*f_);
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

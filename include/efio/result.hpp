// SPDX-License-Identifier: BSD-2-Clause
// What calls answer: a value or an error, without exceptions; value() throws for those who like that better.
#ifndef EFIO_RESULT_HPP
#define EFIO_RESULT_HPP

#include <cerrno>
#include <system_error>
#include <utility>

namespace ef::inline v1 {

// An errno on its way into a result. errno is kept by whoever makes one.
struct failure {
  int error;
};

inline failure last_failure() noexcept { return {errno}; }

// A value, or the errno of the C call in std::generic_category(). Look before you take: of a failed one operator* is a
// T of its own making.
template<class T> class [[nodiscard]] result {
 public:
  result(T value) noexcept : value_(std::move(value)) {}
  result(failure f) noexcept : error_(f.error) {}

  explicit operator bool() const noexcept { return error_ == 0; }
  bool has_value() const noexcept { return error_ == 0; }
  T &operator*() &noexcept { return value_; }
  const T &operator*() const &noexcept { return value_; }
  T &&operator*() &&noexcept { return std::move(value_); }
  T *operator->() noexcept { return &value_; }
  const T *operator->() const noexcept { return &value_; }
  T value_or(T other) &&noexcept { return error_ ? std::move(other) : std::move(value_); }

  std::error_code error() const noexcept { return {error_, std::generic_category()}; }
  // EAGAIN: nothing is wrong, an event follows.
  bool would_block() const noexcept { return error_ == EAGAIN; }
  // EINPROGRESS: the request was begun.
  bool in_progress() const noexcept { return error_ == EINPROGRESS; }
  // The value; the error, if there is one, goes to `e`, which is cleared otherwise.
  T value(std::error_code &e) &&noexcept {
    e = error();
    return std::move(value_);
  }
#ifdef __cpp_exceptions
  // Throws std::system_error.
  T &value() & {
    if (error_) throw std::system_error(error());
    return value_;
  }
  T value() && {
    if (error_) throw std::system_error(error());
    return std::move(value_);
  }
#endif

 private:
  T value_{};
  int error_ = 0;
};

template<> class [[nodiscard]] result<void> {
 public:
  result() noexcept = default;
  result(failure f) noexcept : error_(f.error) {}

  explicit operator bool() const noexcept { return error_ == 0; }
  bool has_value() const noexcept { return error_ == 0; }
  std::error_code error() const noexcept { return {error_, std::generic_category()}; }
  bool would_block() const noexcept { return error_ == EAGAIN; }
  bool in_progress() const noexcept { return error_ == EINPROGRESS; }
  void value(std::error_code &e) const noexcept { e = error(); }
#ifdef __cpp_exceptions
  void value() const {
    if (error_) throw std::system_error(error());
  }
#endif

 private:
  int error_ = 0;
};

namespace detail {

// What a C call answered: a count, or -1 and errno.
template<class T, class Answer> result<T> answered(Answer n) noexcept {
  if (n < 0) return last_failure();
  return static_cast<T>(n);
}
inline result<void> done(int n) noexcept {
  if (n < 0) return last_failure();
  return {};
}

} // namespace detail
} // namespace ef::inline v1
#endif

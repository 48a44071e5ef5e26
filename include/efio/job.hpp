// SPDX-License-Identifier: BSD-2-Clause
// ef::job: the plainest coroutine, for programs that bring none of their own. Whatever is awaited works in any other.
#ifndef EFIO_JOB_HPP
#define EFIO_JOB_HPP

#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <utility>

namespace ef::inline v1 {

// Runs at once, up to its first wait. Its object owns it: destroyed before the end, it is cancelled where it waits, and
// what is in it is destroyed. Not from within itself. Where there is no memory for it it is empty and did not run. An
// exception that leaves it ends the program.
class [[nodiscard]] job {
 public:
  struct promise_type {
    static void *operator new(std::size_t n) noexcept { return ::operator new(n, std::nothrow); }
    static void operator delete(void *p) noexcept { ::operator delete(p); }
    static job get_return_object_on_allocation_failure() noexcept { return {}; }
    job get_return_object() noexcept { return job(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };

  job() noexcept = default;
  job(job &&other) noexcept : what_(std::exchange(other.what_, nullptr)) {}
  job &operator=(job &&other) noexcept {
    if (this != &other) cancel(), what_ = std::exchange(other.what_, nullptr);
    return *this;
  }
  ~job() { cancel(); }

  explicit operator bool() const noexcept { return static_cast<bool>(what_); }
  // It has come to its end; true for an empty one.
  bool done() const noexcept { return !what_ || what_.done(); }
  void cancel() noexcept {
    if (what_) std::exchange(what_, nullptr).destroy();
  }

 private:
  explicit job(std::coroutine_handle<promise_type> what) noexcept : what_(what) {}
  std::coroutine_handle<promise_type> what_;
};

} // namespace ef::inline v1
#endif

// SPDX-License-Identifier: BSD-2-Clause
// A sink of spdlog that writes through efio: a logging thread formats by itself and copies the line, and never waits
// for a disk, unless it was told to.
#ifndef EFIO_SINK_HPP
#define EFIO_SINK_HPP

#include <efio.hpp>

#include <spdlog/details/null_mutex.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>

// As ef_write may be called by any number of threads, no mutex is held while a line is made or written: base_sink has
// one that does nothing. A formatter serves one thread, so each thread has a clone of the sink's.
//
// A line of at most 64 KiB is whole in the file or not there. EF_FULL_DROP: what finds the file's budget full is
// counted by dropped(); EF_FULL_WAIT: it waits. flush writes soon and does not wait. Errors that stick to the file are
// thrown as spdlog_ex by the next line, which spdlog gives to the error handler.
class efio_sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit efio_sink(const std::string &path, int when_full = EF_FULL_DROP, std::size_t budget = 0)
      : file_(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, {.write_buffer_max = budget, .when_full = when_full}) {}

  const ef::file &file() const { return file_; }
  // Lines.
  std::uint64_t dropped() const { return file_.stats().value().dropped_calls; }

 protected:
  void sink_it_(const spdlog::details::log_msg &message) override {
    spdlog::memory_buf_t line;
    formatter_of_this_thread().format(message, line);
    for (std::string_view left(line.data(), line.size()); !left.empty();) {
      const auto n = file_.write(left);
      if (!n) spdlog::throw_spdlog_ex("efio_sink", n.error().value());
      left.remove_prefix(*n); // more than 64 KiB: perhaps in parts
    }
  }

  void flush_() override {
    const auto flushed = file_.flush();
    if (!flushed) spdlog::throw_spdlog_ex("efio_sink", flushed.error().value());
  }

  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    const std::lock_guard guard(mutex_);
    formatter_ = std::move(formatter);
    version_.store(next_version(), std::memory_order_release); // pairs with formatter_of_this_thread
  }

 private:
  // Of all sinks: a clone with the number of a sink that has gone is never taken for another's.
  static std::uint64_t next_version() {
    static std::atomic<std::uint64_t> last{0};
    return 1 + last.fetch_add(1, std::memory_order_relaxed);
  }

  struct clone {
    std::uint64_t version = 0;
    std::unique_ptr<spdlog::formatter> formatter;
  };

  spdlog::formatter &formatter_of_this_thread() {
    static thread_local std::array<clone, 4> clones;                        // of so many sinks in turn
    const std::uint64_t version = version_.load(std::memory_order_acquire); // pairs with set_formatter_
    clone &mine = clones[version % clones.size()];
    if (mine.version != version) {
      const std::lock_guard guard(mutex_);
      mine.formatter = formatter_->clone();
      mine.version = version_.load(std::memory_order_relaxed);
    }
    return *mine.formatter;
  }

  ef::file file_;
  std::mutex mutex_; // over formatter_
  std::atomic<std::uint64_t> version_{next_version()};
};

#endif

// SPDX-License-Identifier: BSD-2-Clause
// spdlog with the least it can be told to do: the message as it is, no time, no level.
#include "writers.hh"

#include <spdlog/async.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>

namespace bench {
namespace {

class spdlog_writer final : public writer {
 public:
  explicit spdlog_writer(std::shared_ptr<spdlog::logger> logger) : writer(put), logger_(std::move(logger)) {
    logger_->set_pattern("%v");
  }
  void finish() override {
    logger_->flush();
    logger_.reset();
    pool.reset(); // its thread writes what is queued, then ends
  }

  static std::shared_ptr<spdlog::details::thread_pool> pool; // null unless asynchronous

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    // spdlog adds the end of the line.
    static_cast<spdlog_writer *>(lane)->logger_->log(spdlog::level::info, spdlog::string_view_t(text, n - 1));
  }
  std::shared_ptr<spdlog::logger> logger_;
};

std::shared_ptr<spdlog::details::thread_pool> spdlog_writer::pool;

std::unique_ptr<writer> open_single(const std::string &path, int) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(path, true);
  return std::make_unique<spdlog_writer>(std::make_shared<spdlog::logger>("lines", std::move(sink)));
}

std::unique_ptr<writer> open_shared(const std::string &path, int) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, true);
  return std::make_unique<spdlog_writer>(std::make_shared<spdlog::logger>("lines", std::move(sink)));
}

// Its defaults: a queue of 8192 messages, one thread, the caller waits when the queue is full.
std::unique_ptr<writer> open_async(const std::string &path, int) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, true);
  spdlog_writer::pool = std::make_shared<spdlog::details::thread_pool>(spdlog::details::default_async_q_size, 1u);
  return std::make_unique<spdlog_writer>(
      std::make_shared<spdlog::async_logger>("lines", std::move(sink), spdlog_writer::pool));
}

} // namespace

const writer_kind spdlog_sync_single{"spdlog sync, one thread", open_single, callers::one};
const writer_kind spdlog_sync{"spdlog sync", open_shared, callers::many};
const writer_kind spdlog_async{"spdlog async", open_async};

} // namespace bench

// SPDX-License-Identifier: BSD-2-Clause
// Boost.Log's text file backend behind its synchronous and its asynchronous frontend: the message alone, no attributes,
// no flush after each line, a logger for each thread.
#include "writers.hh"

#include "harness.hh"

#ifdef EF_HAVE_BOOST_LOG
#include <boost/log/core.hpp>
#include <boost/log/expressions.hpp>
#include <boost/log/sinks/async_frontend.hpp>
#include <boost/log/sinks/sync_frontend.hpp>
#include <boost/log/sinks/text_file_backend.hpp>
#include <boost/log/sources/logger.hpp>
#include <boost/log/sources/record_ostream.hpp>
#include <boost/make_shared.hpp>
#include <boost/utility/string_view.hpp>
#endif

namespace bench {
namespace {

#ifdef EF_HAVE_BOOST_LOG
namespace log = boost::log;
using synchronous = log::sinks::synchronous_sink<log::sinks::text_file_backend>;
using asynchronous = log::sinks::asynchronous_sink<log::sinks::text_file_backend>; // its queue has no bound

template<class sink> class boost_file final : public writer {
 public:
  boost_file(const std::string &path, int threads) : writer(put), loggers_(static_cast<std::size_t>(threads)) {
    sink_ = boost::make_shared<sink>(boost::make_shared<log::sinks::text_file_backend>(
        log::keywords::file_name = path, log::keywords::open_mode = std::ios::out | std::ios::trunc,
        log::keywords::auto_flush = false));
    sink_->set_formatter(log::expressions::stream << log::expressions::smessage);
    log::core::get()->add_sink(sink_);
  }
  void *lane(int thread) override { return &loggers_[static_cast<std::size_t>(thread)]; }
  void finish() override {
    log::core::get()->remove_sink(sink_);
    if constexpr (std::is_same_v<sink, asynchronous>) sink_->stop();
    sink_->flush();
    sink_.reset();
  }

 private:
  struct alignas(128) thread_logger {
    log::sources::logger log;
  };
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    BOOST_LOG(static_cast<thread_logger *>(lane)->log) << boost::string_view(text, n - 1); // it ends the line
  }
  boost::shared_ptr<sink> sink_;
  std::vector<thread_logger> loggers_;
};

template<class sink> std::unique_ptr<writer> open_boost(const std::string &path, int threads) {
  return std::make_unique<boost_file<sink>>(path, threads);
}
#else
struct synchronous;
struct asynchronous;
template<class> std::unique_ptr<writer> open_boost(const std::string &, int) {
  skip("Boost.Log is not installed (libboost-log-dev)");
}
#endif

} // namespace

const writer_kind boost_sync{"Boost.Log sync", open_boost<synchronous>};
const writer_kind boost_async{"Boost.Log async", open_boost<asynchronous>};

} // namespace bench

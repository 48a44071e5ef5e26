// SPDX-License-Identifier: BSD-2-Clause
// log4cplus's file appender: the message alone, a buffer, no flush after each line.
#include "writers.hh"

#include "harness.hh"

#ifdef EF_HAVE_LOG4CPLUS
#include <log4cplus/fileappender.h>
#include <log4cplus/helpers/property.h>
#include <log4cplus/initializer.h>
#include <log4cplus/layout.h>
#include <log4cplus/logger.h>
#include <log4cplus/loggingmacros.h>
#endif

namespace bench {
namespace {

#ifdef EF_HAVE_LOG4CPLUS
log4cplus::helpers::Properties file_properties(const std::string &path) {
  log4cplus::helpers::Properties all;
  all.setProperty("File", path);
  all.setProperty("Append", "false");
  all.setProperty("ImmediateFlush", "false");
  all.setProperty("BufferSize", "65536");
  return all;
}

class log4cplus_writer final : public writer {
 public:
  explicit log4cplus_writer(const std::string &path) : writer(put) {
    static log4cplus::Initializer library;
    logger_ = log4cplus::Logger::getInstance(path); // one for each file
    logger_.setAdditivity(false);
    logger_.setLogLevel(log4cplus::INFO_LOG_LEVEL);
    appender_ = new log4cplus::FileAppender(file_properties(path), std::ios::out | std::ios::trunc);
    appender_->setLayout(std::make_unique<log4cplus::PatternLayout>("%m%n"));
    logger_.addAppender(appender_);
  }
  void finish() override {
    logger_.removeAllAppenders();
    appender_->close();
  }

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    LOG4CPLUS_INFO_STR(static_cast<log4cplus_writer *>(lane)->logger_, std::string(text, n - 1));
  }
  log4cplus::Logger logger_;
  log4cplus::SharedAppenderPtr appender_;
};

std::unique_ptr<writer> open_log4cplus(const std::string &path, int) {
  return std::make_unique<log4cplus_writer>(path);
}
#else
std::unique_ptr<writer> open_log4cplus(const std::string &, int) {
  skip("log4cplus is not installed (liblog4cplus-dev)");
}
#endif

} // namespace

const writer_kind log4cplus_file{"log4cplus", open_log4cplus};

} // namespace bench

// SPDX-License-Identifier: BSD-2-Clause
// log4cplus's file appender: the message alone, a buffer, no flush after each line.
#include "peer_log4cplus.hh"

#ifdef EF_HAVE_LOG4CPLUS
#include <log4cplus/fileappender.h>
#include <log4cplus/helpers/property.h>
#include <log4cplus/initializer.h>
#include <log4cplus/layout.h>
#include <log4cplus/logger.h>
#include <log4cplus/loggingmacros.h>

#include <memory>
#include <string>

namespace bench {
namespace {

log4cplus::helpers::Properties file_properties(const std::string &path) {
  log4cplus::helpers::Properties all;
  all.setProperty("File", path);
  all.setProperty("Append", "false");
  all.setProperty("ImmediateFlush", "false");
  all.setProperty("BufferSize", "65536");
  return all;
}

struct file {
  log4cplus::Logger logger;
  log4cplus::SharedAppenderPtr appender;
};

void *open_file(const char *path) {
  static log4cplus::Initializer library;
  auto *f = new file{log4cplus::Logger::getInstance(path), // one for each file
                     log4cplus::SharedAppenderPtr(
                         new log4cplus::FileAppender(file_properties(path), std::ios::out | std::ios::trunc))};
  f->logger.setAdditivity(false);
  f->logger.setLogLevel(log4cplus::INFO_LOG_LEVEL);
  f->appender->setLayout(std::make_unique<log4cplus::PatternLayout>("%m%n"));
  f->logger.addAppender(f->appender);
  return f;
}

void write_line(void *to, const char *text, std::size_t n) {
  LOG4CPLUS_INFO_STR(static_cast<file *>(to)->logger, std::string(text, n - 1));
}

void close_file(void *f) {
  std::unique_ptr<file> gone(static_cast<file *>(f));
  gone->logger.removeAllAppenders();
  gone->appender->close();
}

const log4cplus_calls calls{open_file, write_line, close_file};

} // namespace
} // namespace bench

const bench::log4cplus_calls *bench_log4cplus() { return &bench::calls; }
#else
const bench::log4cplus_calls *bench_log4cplus() { return nullptr; }
#endif

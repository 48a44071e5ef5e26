// SPDX-License-Identifier: BSD-2-Clause
// glog without its prefix. It has one file a process, appends to it, and writes when a million bytes have come together
// or every 30 s.
#include "writers.hh"

#include "harness.hh"

#ifdef EF_HAVE_GLOG
#include <glog/logging.h>

#include <unistd.h>
#endif

namespace bench {
namespace {

constexpr int heading = 4; // created at, machine, duration, format

#ifdef EF_HAVE_GLOG
void begin_once() {
  static bool begun = false;
  if (begun) return;
  begun = true;
  FLAGS_log_prefix = false;
  FLAGS_timestamp_in_logfile_name = false;
  google::InitGoogleLogging("efio-bench");
  google::SetLogSymlink(google::INFO, "");
}

class glog_file final : public writer {
 public:
  explicit glog_file(const std::string &path) : writer(put) {
    begin_once();
    unlink(path.c_str());
    google::SetLogDestination(google::INFO, path.c_str());
  }
  void finish() override {
    google::FlushLogFiles(google::INFO);
    google::SetLogDestination(google::INFO, ""); // closes it
  }

 private:
  [[gnu::noinline]] static void put(void *, const char *text, std::size_t n) {
    LOG(INFO).write(text, static_cast<std::streamsize>(n));
  }
};

std::unique_ptr<writer> open_glog(const std::string &path, int) { return std::make_unique<glog_file>(path); }
#else
std::unique_ptr<writer> open_glog(const std::string &, int) { skip("glog is not installed (libgoogle-glog-dev)"); }
#endif

} // namespace

const writer_kind glog_writer{"glog", open_glog, callers::any, heading};

} // namespace bench

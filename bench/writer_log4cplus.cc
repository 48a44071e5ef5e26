// SPDX-License-Identifier: BSD-2-Clause
// log4cplus, loaded when it is measured.
#include "writers.hh"

#include "files.hh"
#include "harness.hh"
#include "peer_log4cplus.hh"

#include <dlfcn.h>

namespace bench {
namespace {

const log4cplus_calls *load() {
  void *object = dlopen((program_directory() + "/" + log4cplus_object).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) skip("log4cplus is not installed (liblog4cplus-dev)");
  auto calls = reinterpret_cast<decltype(&bench_log4cplus)>(dlsym(object, log4cplus_symbol));
  if (!calls || !calls()) skip("%s has no log4cplus in it", log4cplus_object);
  return calls();
}

class log4cplus_writer final : public writer {
 public:
  explicit log4cplus_writer(const std::string &path) : writer(calls()->line), file_(calls()->open(path.c_str())) {}
  void *lane(int) override { return file_; }
  void finish() override { calls()->close(file_); }

 private:
  static const log4cplus_calls *calls() {
    static const log4cplus_calls *loaded = load();
    return loaded;
  }
  void *file_;
};

std::unique_ptr<writer> open_log4cplus(const std::string &path, int) {
  return std::make_unique<log4cplus_writer>(path);
}

} // namespace

const writer_kind log4cplus_file{"log4cplus", open_log4cplus};

} // namespace bench

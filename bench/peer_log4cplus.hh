// SPDX-License-Identifier: BSD-2-Clause
// What the shared object with log4cplus in it offers. That library starts threads when it is loaded, so it is loaded in
// the measurement that needs it and in no other.
#ifndef EF_BENCH_PEER_LOG4CPLUS_HH
#define EF_BENCH_PEER_LOG4CPLUS_HH

#include <cstddef>

namespace bench {

struct log4cplus_calls {
  void *(*open)(const char *path);
  void (*line)(void *file, const char *text, std::size_t length);
  void (*close)(void *file);
};

constexpr char log4cplus_object[] = "bench-log4cplus.so", log4cplus_symbol[] = "bench_log4cplus";

} // namespace bench

extern "C" [[gnu::visibility("default")]] const bench::log4cplus_calls *bench_log4cplus();
#endif

// SPDX-License-Identifier: BSD-2-Clause
// spdlog on efio: `spdlog_sink [-w] FILE THREADS LINES` logs so many lines from each of so many threads through one
// logger, makes them durable, and tells how many were dropped. -w: threads wait instead.
#include "efio_sink.hpp"

#include <spdlog/logger.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

int main(int argc, char **argv) try {
  const bool wait = argc > 1 && std::strcmp(argv[1], "-w") == 0;
  argv += wait;
  if (argc - wait != 4) return std::fputs("usage: spdlog_sink [-w] FILE THREADS LINES\n", stderr), 2;
  const int threads = std::atoi(argv[2]), lines = std::atoi(argv[3]);

  auto sink = std::make_shared<efio_sink>(argv[1], wait ? EF_FULL_WAIT : EF_FULL_DROP, 128 << 10);
  spdlog::logger logger("example", sink);
  logger.set_pattern("%Y-%m-%d %H:%M:%S.%e [%l] %v");
  logger.flush_on(spdlog::level::err);
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&logger, lines, t] {
      for (int i = 0; i < lines; ++i) logger.info("thread {} line {} {:->{}}", t, i, '>', 1 + i % 60);
      logger.error("thread {} is through", t);
    });
  for (auto &t : all) t.join();

  std::printf("%llu dropped\n", static_cast<unsigned long long>(sink->dropped()));
  std::fflush(stdout);
  const auto durable = sink->file().wait(EF_SYNC, -1);
  if (!durable) std::fprintf(stderr, "spdlog_sink: %s: %s\n", argv[1], durable.error().message().c_str());
  return !durable;
} catch (const std::system_error &error) { // of the open, as far as it is told at once
  std::fprintf(stderr, "spdlog_sink: %s\n", error.what());
  return 1;
}

// SPDX-License-Identifier: BSD-2-Clause
// `print FILE THREADS LINES`: so many lines from each of so many threads by ef::print, durable at the end.
#include "efio_print.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

int main(int argc, char **argv) {
  if (argc != 4) return std::fputs("usage: print FILE THREADS LINES\n", stderr), 2;
  const int threads = std::atoi(argv[2]), lines = std::atoi(argv[3]);
  const auto file = ef::file::open(argv[1], O_WRONLY | O_CREAT | O_APPEND, {.when_full = EF_FULL_WAIT});
  std::atomic<bool> failed{!file};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      for (int i = 0; i < lines && !failed; ++i)
        if (!ef::print(*file, "thread {} line {} {:.3f} {:->{}}\n", t, i, i / 8.0, '>', 1 + i % 700)) failed = true;
    });
  for (auto &t : all) t.join();
  const auto durable = file->wait(EF_SYNC, -1);
  if (durable && !failed) return 0;
  std::fprintf(stderr, "print: %s: %s\n", argv[1], (file ? durable.error() : file.error()).message().c_str());
  return 1;
}

// SPDX-License-Identifier: BSD-2-Clause
// A log in the order of threads is opened anew: each lane has a cut of its own.
#include "faulty.hh"
#include "stress.hh"

#include "core.hh"

#include <algorithm>
#include <thread>

namespace {

std::string dir;

// Of each thread: what it wrote before, and what it wrote after.
void each_thread_s_bytes_are_cut_where_it_was(void **) {
  for (int flags : {O_WRONLY | O_CREAT | O_APPEND, O_WRONLY | O_CREAT})
    for (unsigned cut : {0u, 1024u}) {
      const std::string log = dir + "/lanes" + std::to_string(flags) + std::to_string(cut);
      ef_file_options o{};
      o.order = EF_ORDER_THREAD;
      o.flush_interval_ms = 3600'000;
      o.when_full = EF_FULL_WAIT;
      int fd = core::open(log, flags, o);
      core::wait(fd, EF_OPEN);
      faulty::now.short_write = cut;
      std::vector<std::string> want(4);
      std::atomic<bool> stop{false};
      std::thread busy([&] { // where its lines go is its own affair, but each is somewhere, once
        for (int i = 0; !stop || i < 100; ++i) ef_write(fd, "busy\n", 5), ::usleep(50);
      });
      for (std::size_t file = 0; file < want.size(); ++file) {
        for (int t = 0; t < 5; ++t) {
          const std::string line = "thread " + std::to_string(t) + " file " + std::to_string(file) + "\n";
          std::thread([&] { stress::require(ef_write(fd, line.data(), line.size()) > 0, "taken"); }).join();
          want[file] += line;
        }
        if (file + 1 == want.size()) break;
        assert_int_equal(::rename(log.c_str(), (log + "." + std::to_string(file)).c_str()), 0);
        assert_int_equal(ef_reopen(fd), 0);
        core::wait(fd, EF_OPEN);
      }
      stop = true;
      busy.join();
      const std::uint64_t accepted = core::stats(fd).accepted;
      core::close(fd);
      faulty::heal();
      std::size_t all = 0;
      for (std::size_t file = 0; file < want.size(); ++file) {
        const bool last = file + 1 == want.size();
        std::string got = core::contents(last ? log : log + "." + std::to_string(file));
        all += got.size();
        std::vector<std::string> lines[2];
        for (int i : {0, 1}) {
          const std::string &text = i ? want[file] : got;
          for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
            if (text.compare(at, end - at, "busy") != 0) lines[i].push_back(text.substr(at, end - at));
          std::sort(lines[i].begin(), lines[i].end());
        }
        assert_true(lines[0] == lines[1]);
      }
      assert_int_equal(all, accepted);
    }
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {cmocka_unit_test(each_thread_s_bytes_are_cut_where_it_was)};
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

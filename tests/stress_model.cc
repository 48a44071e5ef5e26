// SPDX-License-Identifier: BSD-2-Clause
// Random mixes of every call on many files, in several threads, beside a model of each file.
#include "modelled_file.hh"

#include <memory>

namespace {

using core::modelled_file;
using stress::require;

// Waits for what was promised, without taking events: they stay with the port. A wait of its whole length is a lost
// wake-up, even if the last look finds the bit true.
void wait_for_promises(modelled_file &f) {
  for (unsigned bit : {EF_OPEN, EF_WRITE, EF_READ, EF_SYNC}) {
    if (!(f.waits & bit)) continue;
    auto began = std::chrono::steady_clock::now();
    require(ef_wait(f.fd, bit, core::patience_ms) == static_cast<int>(bit), "what was promised comes");
    bool in_time = std::chrono::steady_clock::now() - began < std::chrono::seconds(10);
    f.check(in_time, bit == EF_READ ? "woken for EF_READ" : bit == EF_WRITE ? "woken for EF_WRITE" : "woken");
    f.told(bit, 0);
  }
}

void close_and_reopen(modelled_file &f, ef_port *p, std::vector<std::unique_ptr<modelled_file>> &all) {
  f.check_counters();
  require(ef_close(f.fd) == 0, "ef_close");
  for (auto &g : all) // or it is not there yet, or not yet truncated
    if (g.get() != &f) require(ef_wait(g->fd, EF_OPEN, core::patience_ms) == EF_OPEN, "the open ends");
  require(ef_drain(p, core::patience_ms) == 0, "ef_drain");
  for (auto &g : all) g->check_contents("drained bytes");
  f.reopen();
}

void one_thread(const std::string &dir, int thread, long steps, stress::random &dice) {
  constexpr int files = 6;
  ef_port *p = ef_port_new(nullptr);
  require(p, "a port");
  std::vector<std::unique_ptr<modelled_file>> all;
  for (int i = 0; i < files; ++i) {
    std::string name = dir + "/" + std::to_string(thread) + "." + std::to_string(i);
    all.push_back(std::make_unique<modelled_file>(p, name, static_cast<std::uint64_t>(thread) * files + i));
    all.back()->waiting_writer = true;
    all.back()->reopen();
  }
  for (long i = 0; i < steps; ++i) {
    modelled_file &f = *all[dice.below(files)];
    f.step();
    if (dice.below(4) == 0 || !f.can_step()) wait_for_promises(f);
    if (dice.below(500) == 0 || f.too_large()) close_and_reopen(f, p, all);
  }
  for (auto &f : all) require(ef_close(f->fd) == 0, "ef_close");
  require(ef_drain(p, core::patience_ms) == 0, "ef_drain");
  for (auto &f : all) f->check_contents("the file at the end");
  require(ef_port_free(p) == 0, "ef_port_free");
}

void every_call_agrees_with_the_model(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    long steps = core::amount(80000, 10000000) / (m.faults || m.no_nowait ? 4 : 1);
    stress::together(4, [&](int t, stress::random &dice) { one_thread(dir, t, steps / 4, dice); });
  });
}

} // namespace

int main(int, char **argv) {
  faulty::install();
  const CMUnitTest tests[] = {cmocka_unit_test(every_call_agrees_with_the_model)};
  return core::again_on_one_core(cmocka_run_group_tests(tests, nullptr, nullptr), argv);
}

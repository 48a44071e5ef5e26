// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp in a libev loop: an ef::port of its own that the loop's hooks dispatch, and requests on the adapter's port.
#include <efio_ev.h>

#include "hpp.hh"

namespace {

std::string dir;

// The hooks that make a port a part of a libev loop.
struct guest {
  struct ev_loop *loop = ev_loop_new(0);
  ef::port port{};
  ev_io bell;
  ev_prepare before;
  ev_timer patience;

  guest() {
    ev_io_init(
        &bell, [](struct ev_loop *, ev_io *w, int) { GOOD(static_cast<ef::port *>(w->data)->dispatch()); }, *port.fd(),
        EV_READ);
    ev_prepare_init(&before,
                    [](struct ev_loop *, ev_prepare *w, int) { GOOD(static_cast<ef::port *>(w->data)->submit()); });
    ev_timer_init(
        &patience, [](struct ev_loop *, ev_timer *, int) { fail_msg("the loop hangs"); }, 20, 0);
    bell.data = before.data = &port;
    ev_io_start(loop, &bell);
    ev_prepare_start(loop, &before);
    ev_timer_start(loop, &patience);
  }
  ~guest() {
    ev_io_stop(loop, &bell);
    ev_prepare_stop(loop, &before);
    ev_timer_stop(loop, &patience);
    ev_loop_destroy(loop);
  }
};

void a_libev_loop_dispatches_a_port(void **) {
  const std::string all = core::pattern(3000000);
  core::put(dir + "/from", all);
  guest g;
  bool over = false;
  const ef::job j = hpp::copy(g.port, dir + "/from", dir + "/to", over);
  while (!over) ev_run(g.loop, EVRUN_ONCE);
  assert_true(j.done());
  assert_int_equal(g.port.stats()->files, 0);
  assert_true(core::contents(dir + "/to") == all);
}

// The adapter takes the events, and what it calls resumes.
struct adapter {
  struct ev_loop *loop = ev_loop_new(0);
  ef::file file;
  ev_timer tick; // requests of ours do not hold the loop

  explicit adapter(const std::string &path) : file(ef_ev_open(loop, path.c_str(), O_RDWR, 0)) {
    GOOD(file);
    GOOD(file.wait(EF_OPEN, core::patience_ms));
    ev_timer_init(
        &tick, [](struct ev_loop *, ev_timer *, int) {}, 0, 0.01);
    ev_timer_start(loop, &tick);
  }
  ~adapter() {
    GOOD(file.close());
    assert_int_equal(ef_drain(ef_ev_port(loop), core::patience_ms), 0);
    ev_timer_stop(loop, &tick);
    ev_loop_destroy(loop);
  }
  void turn() {
    assert_true(std::chrono::steady_clock::now() < end);
    ev_run(loop, EVRUN_ONCE);
  }
  std::chrono::steady_clock::time_point end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
};

void requests_on_the_adapter_s_port_are_awaited(void **) {
  const std::string all = core::pattern(500000);
  core::put(dir + "/at", all);
  {
    adapter a(dir + "/at");
    int over = 0;
    std::vector<ef::job> jobs;
    for (std::size_t i = 0; i < 50; ++i) jobs.push_back(hpp::copy_at(a.file, all, i * 10000, over));
    while (over < 50) a.turn();
  }
  assert_true(core::contents(dir + "/at") == all + all);
}

void requests_on_the_adapter_s_port_may_be_destroyed(void **) {
  const std::string all = core::pattern(500000);
  core::put(dir + "/dies", all);
  adapter a(dir + "/dies");
  hpp::requests_that_die(a.file, all, [&] { a.turn(); });
}

// The loop goes first, with events that nobody will hear.
void requests_outlive_the_loop(void **) {
  const std::string all = core::pattern(500000);
  core::put(dir + "/outlives", all);
  for (bool ended : {false, true}) {
    std::vector<std::string> bytes(20, std::string(20000, 0));
    int over = 0;
    struct ev_loop *loop = ev_loop_new(0);
    ef::file f(ef_ev_open(loop, (dir + "/outlives").c_str(), O_RDWR, 0));
    std::vector<ef::job> jobs;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      jobs.push_back(i % 2 ? hpp::write_from(f, bytes[i], 500000, over) : hpp::read_into(f, bytes[i], i, over));
    const int at_hand = over;
    if (ended) assert_int_equal(ef_drain(ef_ev_port(loop), core::patience_ms), 0);
    ev_loop_destroy(loop);
    jobs.clear();
    assert_int_equal(over, at_hand);
  }
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_libev_loop_dispatches_a_port),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
      cmocka_unit_test(requests_on_the_adapter_s_port_may_be_destroyed),
      cmocka_unit_test(requests_outlive_the_loop),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

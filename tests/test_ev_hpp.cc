// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp in a libev loop: ef::ev_port, and requests on the adapter's port.
#include <efio_ev.hpp>

#include "hpp.hh"

namespace {

std::string dir;

struct guest {
  struct ev_loop *loop = ev_loop_new(0);
  ef::ev_port port{loop};

  guest() { GOOD(port); }
  ~guest() { ev_loop_destroy(loop); } // the port leaves it then, and goes later
  void run() {
    ::alarm(60);
    ev_run(loop, 0);
    ::alarm(0);
  }
  // Held, a run lasts until the timer, which does not hold the loop, ends it.
  bool alive() const {
    bool held = false;
    ev_timer tick;
    ev_timer_init(
        &tick,
        [](struct ev_loop *l, ev_timer *w, int) {
          *static_cast<bool *>(w->data) = true;
          ev_break(l, EVBREAK_ALL);
        },
        0.02, 0);
    tick.data = &held;
    ev_now_update(loop);
    ev_timer_start(loop, &tick);
    ev_unref(loop);
    ev_run(loop, 0);
    ev_ref(loop);
    ev_timer_stop(loop, &tick);
    return held;
  }
  void forked() { ev_loop_fork(loop); }
};

void coroutines_run_in_a_libev_loop(void **) { hpp::coroutines_run_in_a_loop<guest>(dir); }
void a_libev_loop_is_held_by_those_who_wait(void **) { hpp::a_loop_is_held_by_those_who_wait<guest>(dir); }

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

void requests_on_the_adapter_s_port_are_awaited(void **) { hpp::fifty_copies<adapter>(dir + "/at"); }

void requests_on_the_adapter_s_port_may_be_destroyed(void **) { hpp::requests_that_die<adapter>(dir + "/dies"); }

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

void a_port_that_cannot_be_made_says_so(void **) {
  struct ev_loop *loop = ev_loop_new(0);
  ef::ev_port port(loop, 77);
  assert_false(static_cast<bool>(port));
  assert_int_equal(port.error().value(), EINVAL);
  ev_run(loop, 0);
  ev_loop_destroy(loop);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(coroutines_run_in_a_libev_loop),
      cmocka_unit_test(a_libev_loop_is_held_by_those_who_wait),
      cmocka_unit_test(a_port_that_cannot_be_made_says_so),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
      cmocka_unit_test(requests_on_the_adapter_s_port_may_be_destroyed),
      cmocka_unit_test(requests_outlive_the_loop),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

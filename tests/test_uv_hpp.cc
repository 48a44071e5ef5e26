// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp in a libuv loop: ef::uv_port, and requests on the adapter's port.
#include <efio_uv.hpp>

#include "hpp.hh"

namespace {

std::string dir;

struct own_loop {
  uv_loop_t loop;
  own_loop() { assert_int_equal(uv_loop_init(&loop), 0); }
  ~own_loop() {
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
  }
};

struct guest : own_loop {
  ef::uv_port port{&loop};

  guest() { GOOD(port); }
  void run() {
    ::alarm(60);
    uv_run(&loop, UV_RUN_DEFAULT);
    ::alarm(0);
  }
  bool alive() const { return uv_loop_alive(&loop); }
  void forked() { assert_int_equal(uv_loop_fork(&loop), 0); }
};

void coroutines_run_in_a_libuv_loop(void **) { hpp::coroutines_run_in_a_loop<guest>(dir); }
void a_libuv_loop_is_held_by_those_who_wait(void **) { hpp::a_loop_is_held_by_those_who_wait<guest>(dir); }

void the_handles_of_a_port_are_known(void **) {
  own_loop l;
  ef::uv_port port(&l.loop);
  uv_walk(
      &l.loop, [](uv_handle_t *h, void *p) { assert_true(static_cast<ef::uv_port *>(p)->owns(h)); }, &port);
  uv_timer_t other;
  other.data = nullptr;
  assert_false(port.owns(reinterpret_cast<uv_handle_t *>(&other)) || port.owns(nullptr));
}

void a_port_that_cannot_be_made_says_so(void **) {
  own_loop l;
  ef::uv_port port(&l.loop, 77);
  assert_false(static_cast<bool>(port));
  assert_int_equal(port.error().value(), EINVAL);
}

// The adapter takes the events and owns the file; what it calls resumes.
struct adapter {
  uv_loop_t loop;
  ef_uv_file_t handle;
  ef::file file;
  uv_timer_t tick; // requests of ours do not hold the loop

  explicit adapter(const std::string &path) {
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(ef_uv_open(&loop, &handle, path.c_str(), UV_FS_O_RDWR, 0), 0);
    file = ef::file(handle.fd);
    GOOD(file.wait(EF_OPEN, core::patience_ms));
    uv_timer_init(&loop, &tick);
    uv_timer_start(
        &tick, [](uv_timer_t *) {}, 10, 10);
  }
  ~adapter() {
    uv_close(reinterpret_cast<uv_handle_t *>(&tick), nullptr);
    file.release();
    ef_uv_close(&handle, nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(handle.status, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
  }
  void turn() {
    assert_true(std::chrono::steady_clock::now() < end);
    uv_run(&loop, UV_RUN_ONCE);
  }
  std::chrono::steady_clock::time_point end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
};

void requests_on_the_adapter_s_port_are_awaited(void **) { hpp::fifty_copies<adapter>(dir + "/at"); }

// The file's close, which comes behind its requests, does not wait for those that were destroyed.
void requests_on_the_adapter_s_port_may_be_destroyed(void **) { hpp::requests_that_die<adapter>(dir + "/dies"); }

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(coroutines_run_in_a_libuv_loop),
      cmocka_unit_test(a_libuv_loop_is_held_by_those_who_wait),
      cmocka_unit_test(the_handles_of_a_port_are_known),
      cmocka_unit_test(a_port_that_cannot_be_made_says_so),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
      cmocka_unit_test(requests_on_the_adapter_s_port_may_be_destroyed),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp in a libuv loop: an ef::port of its own that the loop's hooks dispatch, and requests on the adapter's port.
#include <efio_uv.h>

#include "hpp.hh"

namespace {

std::string dir;

// The hooks that make a port a part of a libuv loop.
struct guest {
  uv_loop_t loop;
  ef::port port{};
  uv_poll_t bell;
  uv_prepare_t before;

  guest() {
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_poll_init(&loop, &bell, *port.fd()), 0);
    assert_int_equal(uv_prepare_init(&loop, &before), 0);
    bell.data = before.data = &port;
    uv_poll_start(&bell, UV_READABLE,
                  [](uv_poll_t *h, int, int) { GOOD(static_cast<ef::port *>(h->data)->dispatch()); });
    uv_prepare_start(&before, [](uv_prepare_t *h) { GOOD(static_cast<ef::port *>(h->data)->submit()); });
  }
  ~guest() {
    uv_close(reinterpret_cast<uv_handle_t *>(&bell), nullptr);
    uv_close(reinterpret_cast<uv_handle_t *>(&before), nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
  }
};

void a_libuv_loop_dispatches_a_port(void **) {
  const std::string all = core::pattern(3000000);
  core::put(dir + "/from", all);
  guest g;
  bool over = false;
  const ef::job j = hpp::copy(g.port, dir + "/from", dir + "/to", over);
  while (!over) uv_run(&g.loop, UV_RUN_ONCE);
  assert_true(j.done());
  assert_int_equal(g.port.stats()->files, 0);
  assert_true(core::contents(dir + "/to") == all);
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

// The file's close, which comes behind its requests, does not wait for those that were destroyed.
void requests_on_the_adapter_s_port_may_be_destroyed(void **) {
  const std::string all = core::pattern(500000);
  core::put(dir + "/dies", all);
  adapter a(dir + "/dies");
  hpp::requests_that_die(a.file, all, [&] { a.turn(); });
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_libuv_loop_dispatches_a_port),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
      cmocka_unit_test(requests_on_the_adapter_s_port_may_be_destroyed),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

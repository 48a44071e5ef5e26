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

ef::job copy(guest &g, std::string from, std::string to, bool &over) {
  auto in = ef::file::open(g.port, from.c_str(), O_RDONLY, {.cache = EF_CACHE_STREAMING});
  auto out = ef::file::open(g.port, to.c_str(), O_WRONLY | O_CREAT, {.write_buffer_max = 128 << 10});
  char some[EF_ATOMIC];
  for (;;) {
    const auto n = in->read(some);
    if (n.would_block()) {
      GOOD(co_await in->readable());
      continue;
    }
    GOOD(n);
    if (*n == 0) break;
    while (out->write(std::string_view(some, *n)).would_block()) GOOD(co_await out->writable());
  }
  GOOD(co_await out->synced());
  GOOD(co_await out->closed());
  GOOD(co_await in->closed());
  over = true;
  uv_stop(&g.loop);
}

void a_libuv_loop_dispatches_a_port(void **) {
  const std::string all = core::pattern(3000000);
  core::put(dir + "/from", all);
  guest g;
  bool over = false;
  const ef::job j = copy(g, dir + "/from", dir + "/to", over);
  while (!over) uv_run(&g.loop, UV_RUN_DEFAULT);
  assert_true(j.done());
  assert_int_equal(g.port.stats()->files, 0);
  assert_true(core::contents(dir + "/to") == all);
}

ef::job read_at(ef::file &f, const std::string &all, std::size_t at, int &over) {
  std::string got(10000, 0);
  const auto n = co_await f.read_at(std::span(got), static_cast<off_t>(at));
  assert_true(*n == got.size() && all.compare(at, got.size(), got) == 0);
  const auto written = co_await f.write_at(std::string_view(got), static_cast<off_t>(all.size() + at));
  assert_int_equal(*written, got.size());
  ++over;
}

// The adapter takes the events and owns the file; what it calls resumes.
void requests_on_the_adapter_s_port_are_awaited(void **) {
  uv_loop_t loop;
  assert_int_equal(uv_loop_init(&loop), 0);
  const std::string all = core::pattern(500000);
  core::put(dir + "/at", all);
  ef_uv_file_t handle;
  assert_int_equal(ef_uv_open(&loop, &handle, (dir + "/at").c_str(), UV_FS_O_RDWR, 0), 0);
  ef::file f(handle.fd);
  int over = 0;
  std::vector<ef::job> jobs;
  for (std::size_t i = 0; i < 50; ++i) jobs.push_back(read_at(f, all, i * 10000, over));
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
  uv_timer_t tick; // requests of ours do not hold the loop
  uv_timer_init(&loop, &tick);
  uv_timer_start(
      &tick, [](uv_timer_t *) {}, 10, 10);
  while (over < 50) {
    uv_run(&loop, UV_RUN_ONCE);
    assert_true(std::chrono::steady_clock::now() < end);
  }
  uv_close(reinterpret_cast<uv_handle_t *>(&tick), nullptr);
  f.release();
  ef_uv_close(&handle, nullptr);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(handle.status, 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_true(core::contents(dir + "/at") == all + all);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_libuv_loop_dispatches_a_port),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

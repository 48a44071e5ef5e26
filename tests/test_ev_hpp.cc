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
  ev_break(g.loop, EVBREAK_ALL);
}

void a_libev_loop_dispatches_a_port(void **) {
  const std::string all = core::pattern(3000000);
  core::put(dir + "/from", all);
  guest g;
  bool over = false;
  const ef::job j = copy(g, dir + "/from", dir + "/to", over);
  while (!over) ev_run(g.loop, 0);
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

// The adapter takes the events; what it calls resumes.
void requests_on_the_adapter_s_port_are_awaited(void **) {
  struct ev_loop *loop = ev_loop_new(0);
  const std::string all = core::pattern(500000);
  core::put(dir + "/at", all);
  ef::file f(ef_ev_open(loop, (dir + "/at").c_str(), O_RDWR, 0));
  GOOD(f);
  int over = 0;
  std::vector<ef::job> jobs;
  for (std::size_t i = 0; i < 50; ++i) jobs.push_back(read_at(f, all, i * 10000, over));
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
  ev_timer tick; // requests of ours do not hold the loop
  ev_timer_init(
      &tick, [](struct ev_loop *, ev_timer *, int) {}, 0, 0.01);
  ev_timer_start(loop, &tick);
  while (over < 50) {
    ev_run(loop, EVRUN_ONCE);
    assert_true(std::chrono::steady_clock::now() < end);
  }
  ev_timer_stop(loop, &tick);
  GOOD(f.close());
  assert_int_equal(ef_drain(ef_ev_port(loop), core::patience_ms), 0);
  ev_loop_destroy(loop);
  assert_true(core::contents(dir + "/at") == all + all);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_libev_loop_dispatches_a_port),
      cmocka_unit_test(requests_on_the_adapter_s_port_are_awaited),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}

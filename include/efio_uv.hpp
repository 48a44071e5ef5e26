// SPDX-License-Identifier: BSD-2-Clause
// ef::uv_port: an ef::port that is part of a libuv loop, so that coroutines await files there. Manual: efio_uv.hpp(3).
//
//   ef::uv_port port(uv_default_loop());
//   ef::job job = print(port, "file");              // as in efio.hpp
//   uv_run(uv_default_loop(), UV_RUN_DEFAULT);      // until nobody waits, and there are no other handles
#ifndef EFIO_UV_HPP
#define EFIO_UV_HPP

#include <efio_uv.h>
#include <efio.hpp>

#include <new>

namespace ef::inline v1 {

// Holds the loop while a coroutine waits for a file of this port, or a request is under way. If it cannot be made,
// error() tells. Destroyed, its two handles close: the loop has to run once more before uv_loop_close, as ever. In a
// fork child it leaves the loop by itself.
class uv_port : public port {
 public:
  explicit uv_port(uv_loop_t *loop, int engine = EF_ENGINE_AUTO) noexcept : port({.engine = engine}) {
    auto *h = new (std::nothrow) handles{};
    const auto bell = fd();
    const int bad = !bell ? bell.error().value() : !h ? ENOMEM : -uv_poll_init(loop, &h->bell, *bell);
    if (bad) {
      delete h; // it is no handle
      give_up(bad);
      return;
    }
    uv_prepare_init(loop, &h->before); // cannot fail, nor can the starts
    h->self = this;
    h->bell.data = h->before.data = h;
    uv_poll_start(&h->bell, UV_READABLE, on_bell);
    uv_prepare_start(&h->before, on_prepare);
    uv_unref(as_handle(&h->bell));
    uv_unref(as_handle(&h->before));
    handles_ = h;
    on_hold([](port &p, bool on) noexcept { static_cast<uv_port &>(p).hold(on); });
  }
  ~uv_port() {
    if (!handles_) return;
    on_hold(nullptr);
    uv_close(as_handle(&handles_->bell), on_closed);
    uv_close(as_handle(&handles_->before), on_closed);
  }

  // For uv_walk: a handle that goes with the port.
  bool owns(const uv_handle_t *h) const noexcept { return h && handles_ && h->data == handles_; }

 private:
  struct handles { // stay until libuv has closed them
    uv_poll_t bell;
    uv_prepare_t before;
    uv_port *self;
    int closed;
  };

  template<class Handle> static uv_handle_t *as_handle(Handle *h) noexcept {
    return reinterpret_cast<uv_handle_t *>(h);
  }
  template<class Handle> static uv_port &self_of(Handle *h) noexcept { return *static_cast<handles *>(h->data)->self; }

  // An error of the poll is answered by looking, as well.
  static void on_bell(uv_poll_t *h, int, int) { self_of(h).look(self_of(h).dispatch()); }
  static void on_prepare(uv_prepare_t *h) { self_of(h).look(self_of(h).submit()); }
  static void on_closed(uv_handle_t *h) {
    auto *both = static_cast<handles *>(h->data);
    if (++both->closed == 2) delete both;
  }

  void look(const result<int> &n) noexcept {
    if (n.error().value() != ECHILD) return;
    on_hold(nullptr); // the parent rings the bell that both have
    uv_poll_stop(&handles_->bell);
    uv_prepare_stop(&handles_->before);
  }
  void hold(bool on) noexcept { on ? uv_ref(as_handle(&handles_->bell)) : uv_unref(as_handle(&handles_->bell)); }

  handles *handles_ = nullptr;
};

} // namespace ef::inline v1
#endif

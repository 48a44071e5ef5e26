// SPDX-License-Identifier: BSD-2-Clause
// ef::ev_port: an ef::port that is part of a libev loop, so that coroutines await files there. Manual: efio_ev.hpp(3).
//
//   ef::ev_port port(EV_DEFAULT);
//   ef::job job = print(port, "file");   // as in efio.hpp
//   ev_run(EV_DEFAULT_ 0);               // until nobody waits, and there are no other watchers
#ifndef EFIO_EV_HPP
#define EFIO_EV_HPP

#include <efio_ev.h>
#include <efio.hpp>

namespace ef::inline v1 {

#if EV_MULTIPLICITY
#define EF_EV_A loop_
#define EF_EV_A_ loop_,
#else
#define EF_EV_A
#define EF_EV_A_
#endif

// Holds the loop while a coroutine waits for a file of this port, or a request is under way. If it cannot be made,
// error() tells. The loop may go first: nobody is resumed any more. In a fork child it leaves the loop by itself.
class ev_port : public port {
 public:
  explicit ev_port(EV_P_ int engine = EF_ENGINE_AUTO) noexcept : port({.engine = engine}) {
#if EV_MULTIPLICITY
    loop_ = loop;
#endif
    const auto bell = fd();
    if (!bell) {
      give_up(bell.error().value());
      return;
    }
    ev_io_init(&bell_.watcher, on_bell, *bell, EV_READ);
    ev_prepare_init(&before_.watcher, on_prepare);
    ev_cleanup_init(&end_.watcher, on_cleanup);
    ev_set_priority(&bell_.watcher, EV_MAXPRI);   // it resumes whatever the priority of others
    ev_set_priority(&before_.watcher, EV_MINPRI); // those of the host may begin reads
    join();
  }
  ~ev_port() { leave(); }

 private:
  template<class Watcher> struct part {
    Watcher watcher; // first: `data` is not there in every libev
    ev_port *self;
  };
  template<class Watcher> static ev_port &self_of(Watcher *w) noexcept {
    return *reinterpret_cast<part<Watcher> *>(w)->self;
  }

  static void on_bell([[maybe_unused]] EV_P_ ev_io *w, int) {
    ev_port &self = self_of(w);
    self.look(self.dispatch());
  }
  static void on_prepare([[maybe_unused]] EV_P_ ev_prepare *w, int) {
    ev_port &self = self_of(w);
    self.look(self.submit());
  }
  static void on_cleanup([[maybe_unused]] EV_P_ ev_cleanup *w, int) { self_of(w).leave(); }

  void look(const result<int> &n) noexcept {
    if (n.error().value() == ECHILD) leave(); // the parent rings the bell that both have
  }
  void hold(bool on) noexcept {
    if (on)
      ev_ref(EF_EV_A);
    else
      ev_unref(EF_EV_A);
    holds_ = on;
  }

  // Of the watchers only the cleanup does without a reference of the loop by itself.
  void join() noexcept {
    ev_io *bell = &bell_.watcher;
    ev_prepare *before = &before_.watcher;
    ev_cleanup *end = &end_.watcher;
    ev_io_start(EF_EV_A_ bell);
    ev_unref(EF_EV_A);
    ev_prepare_start(EF_EV_A_ before);
    ev_unref(EF_EV_A);
    ev_cleanup_start(EF_EV_A_ end);
    joined_ = true;
    on_hold([](port &p, bool on) noexcept { static_cast<ev_port &>(p).hold(on); });
  }
  void leave() noexcept {
    if (!joined_) return;
    ev_io *bell = &bell_.watcher;
    ev_prepare *before = &before_.watcher;
    ev_cleanup *end = &end_.watcher;
    joined_ = false;
    on_hold(nullptr);
    if (holds_) hold(false);
    ev_ref(EF_EV_A);
    ev_io_stop(EF_EV_A_ bell);
    ev_ref(EF_EV_A);
    ev_prepare_stop(EF_EV_A_ before);
    ev_cleanup_stop(EF_EV_A_ end);
  }

#if EV_MULTIPLICITY
  struct ev_loop *loop_;
#endif
  part<ev_io> bell_{{}, this};
  part<ev_prepare> before_{{}, this};
  part<ev_cleanup> end_{{}, this};
  bool joined_ = false, holds_ = false;
};

#undef EF_EV_A
#undef EF_EV_A_

} // namespace ef::inline v1
#endif

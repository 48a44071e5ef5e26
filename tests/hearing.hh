// SPDX-License-Identifier: BSD-2-Clause
// A port and how its loop hears of news: by a descriptor, by a poke, or by the events themselves.
#ifndef EF_TESTS_HEARING_HH
#define EF_TESTS_HEARING_HH

#include "modelled_file.hh"

#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <vector>

namespace core {

enum class form { descriptor, wake, notify };

class hearing {
 public:
  explicit hearing(form f, int engine = EF_ENGINE_AUTO) : form_(f) {
    ef_port_options o{};
    o.size = sizeof o;
    o.arg = this;
    o.engine = engine;
    if (f == form::wake) o.wake = poke;
    if (f == form::notify) o.notify = note;
    bell_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    port = ef_port_new(&o);
    stress::require(port && bell_ >= 0, "a port");
  }
  ~hearing() {
    stress::require(ef_port_free(port) == 0, "ef_port_free");
    ::close(bell_);
  }

  // Events there are, or, in ms at most, there will be.
  template<class Dice> std::vector<ef_event> take(int ms, Dice &dice) {
    pollfd q{form_ == form::descriptor ? ef_port_fd(port) : bell_, POLLIN, 0};
    ::poll(&q, 1, ms);
    std::vector<ef_event> all;
    if (form_ == form::notify) {
      std::uint64_t n;
      if (::read(bell_, &n, sizeof n) < 0) stress::require(errno == EAGAIN, "the bell");
      std::lock_guard<std::mutex> hold(lock_);
      std::swap(all, inbox_);
    } else if (q.revents & POLLIN) { // no look without a word: the word itself is under test
      std::uint64_t n;
      if (form_ == form::wake) stress::require(::read(bell_, &n, sizeof n) == sizeof n, "the bell");
      ef_event e[8];
      int most = 1 + static_cast<int>(dice.below(8)), got;
      do {
        got = ef_port_next(port, e, most);
        stress::require(got >= 0 && got <= most, "ef_port_next");
        all.insert(all.end(), e, e + got);
      } while (got == most);
    }
    taken += all.size();
    return all;
  }
  // What was noted before a disarming was still welcome then.
  void forget(std::uint64_t number) {
    std::lock_guard<std::mutex> hold(lock_);
    taken += std::erase_if(inbox_, [&](const ef_event &e) {
      return !(e.events & EF_REQUEST) && modelled_file::number_of(e.data) == number;
    });
  }
  const char *name() const {
    return form_ == form::descriptor ? "descriptor" : form_ == form::wake ? "wake" : "notify";
  }
  bool direct() const { return form_ == form::notify; }

  ef_port *port;
  std::uint64_t taken = 0;

 private:
  static void poke(void *arg) {
    std::uint64_t one = 1;
    if (::write(static_cast<hearing *>(arg)->bell_, &one, sizeof one) != sizeof one) stress::failed("the bell is full");
  }
  static void note(void *arg, const ef_event *e, int n) {
    auto *h = static_cast<hearing *>(arg);
    {
      std::lock_guard<std::mutex> hold(h->lock_);
      h->inbox_.insert(h->inbox_.end(), e, e + n);
    }
    poke(arg);
  }

  form form_;
  int bell_;
  std::mutex lock_;
  std::vector<ef_event> inbox_;
};

} // namespace core
#endif

// SPDX-License-Identifier: BSD-2-Clause
// Random blocks in a libev loop: the loop itself, pread(2) in it, POSIX aio, efio's adapter.
#include "random_ev.hh"

#include <efio_ev.h>

#include <aio.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace bench {

ev_contestant::ev_contestant(random_run *r) : run(r), fd(open_random(r->path())) {
  timer_.data = prepare_.data = again_.data = bell_.data = this;
  ev_timer_init(
      &timer_, [](struct ev_loop *, ev_timer *w, int) { static_cast<ev_contestant *>(w->data)->run->tick(); },
      timer_seconds, timer_seconds);
  ev_prepare_init(&prepare_,
                  [](struct ev_loop *, ev_prepare *w, int) { static_cast<ev_contestant *>(w->data)->turn(); });
  ev_idle_init(&again_, [](struct ev_loop *, ev_idle *, int) {});
  idle_.push_back(0);
}

void ev_contestant::go() {
  ev_timer_start(loop, &timer_);
  ev_prepare_start(loop, &prepare_);
  ev_run(loop, 0);
}

void ev_contestant::watch(int bell) {
  ev_io_init(
      &bell_, [](struct ev_loop *, ev_io *w, int) { static_cast<ev_contestant *>(w->data)->wake(); }, bell, EV_READ);
  ev_io_start(loop, &bell_);
}

void ev_contestant::got(int reader, ssize_t n) {
  idle_.push_back(reader);
  if (!run->end(reader, n)) return;
  for (int other = 0; other < run->readers(); ++other)
    if (other != reader) idle_.push_back(other);
}

void ev_contestant::turn() {
  asking_.clear();
  asking_.swap(idle_);
  for (int reader : asking_)
    if (run->begin(reader)) ask(reader);
  submit();
  if (run->finished()) ev_break(loop, EVBREAK_ALL);
  // Readers that want something already must not wait for the poll.
  idle_.empty() ? ev_idle_stop(loop, &again_) : ev_idle_start(loop, &again_);
}

namespace {

class pread_contestant final : public ev_contestant {
 public:
  using ev_contestant::ev_contestant;

 private:
  void ask(int reader) override {
    ssize_t n = pread(fd, run->buffer(reader), random_block, run->offset(reader));
    got(reader, n < 0 ? -errno : n);
  }
};

// glibc gives each descriptor one thread at a time: every reader has a descriptor of its own. Completions come as
// queued signals through a signalfd: a thread started for each, the other way there is, costs far more.
class aio_contestant final : public ev_contestant {
 public:
  explicit aio_contestant(random_run *r) : ev_contestant(r), requests_(static_cast<std::size_t>(r->readers())) {
    aioinit tuning{};
    tuning.aio_threads = threads;
    tuning.aio_num = r->readers();
    aio_init(&tuning);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    bell_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (bell_ < 0) fail("signalfd: %s", std::strerror(errno));
    for (aiocb &c : requests_) c.aio_fildes = open_random(r->path());
    watch(bell_);
  }

 private:
  static constexpr int threads = 16;
  static constexpr std::size_t infos_a_call = 64;

  void ask(int reader) override {
    aiocb &c = requests_[static_cast<std::size_t>(reader)];
    c.aio_buf = run->buffer(reader);
    c.aio_nbytes = random_block;
    c.aio_offset = run->offset(reader);
    c.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    c.aio_sigevent.sigev_signo = SIGRTMIN;
    c.aio_sigevent.sigev_value.sival_int = reader;
    if (aio_read(&c) < 0) fail("aio_read: %s", std::strerror(errno));
  }
  void wake() override {
    signalfd_siginfo infos[infos_a_call];
    ssize_t n;
    do {
      n = read(bell_, infos, sizeof infos);
      for (ssize_t i = 0; i < n / static_cast<ssize_t>(sizeof *infos); ++i) {
        aiocb &c = requests_[static_cast<std::size_t>(infos[i].ssi_int)];
        int error = aio_error(&c);
        got(infos[i].ssi_int, error ? -error : aio_return(&c));
      }
    } while (n == sizeof infos);
  }

  int bell_;
  std::vector<aiocb> requests_;
};

// The adapter's loop has a port of its own, whose engine the environment chooses.
class efio_contestant final : public ev_contestant {
 public:
  efio_contestant(random_run *r, int engine) : ev_contestant(r), requests_(static_cast<std::size_t>(r->readers())) {
    setenv("EFIO_ENGINE", engine == EF_ENGINE_URING ? "uring" : "threads", 1);
    ef_port *port = ef_ev_port(loop);
    if (!port) fail("ef_ev_port: %s", std::strerror(errno));
    ef_port_counters c{};
    c.size = sizeof c;
    if (ef_port_stats(port, &c) == 0 && c.engine != engine) skip("this engine does not work: %s", c.engine_reason);
    ef_file_options file{};
    file.size = sizeof file;
    file.pattern = EF_PATTERN_RANDOM;
    file_ = ef_fdopen(port, fd, &file);
    if (file_ < 0) fail("ef_fdopen: %s", std::strerror(errno));
    for (ef_ev_request &q : requests_) {
      ef_ev_request_init(&q, answer);
      q.data = this;
    }
  }
  ~efio_contestant() override { ef_close(file_); }

 private:
  void ask(int reader) override {
    ef_ev_request *q = &requests_[static_cast<std::size_t>(reader)];
    ssize_t n = ef_ev_pread(loop, q, file_, run->buffer(reader), random_block, run->offset(reader));
    if (n >= 0 || errno != EINPROGRESS) got(reader, n < 0 ? -errno : n);
  }
  static void answer(struct ev_loop *, ef_ev_request *q) {
    auto *me = static_cast<efio_contestant *>(q->data);
    const ef_request &r = q->request;
    me->got(static_cast<int>(q - me->requests_.data()), r.result < 0 ? -r.error : r.result);
  }

  int file_;
  std::vector<ef_ev_request> requests_;
};

} // namespace

void read_by_pread(random_run *run) { pread_contestant(run).go(); }
void read_by_aio(random_run *run) { aio_contestant(run).go(); }
void read_by_efio(random_run *run, int engine) { efio_contestant(run, engine).go(); }

} // namespace bench

// SPDX-License-Identifier: BSD-2-Clause
// 64 reads at a time: as requests of one thread that polls, and as blocking calls of 64 threads.
#include "bench_file.hh"
#include "bench_run.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace tool {
namespace {

constexpr std::size_t block = 4096;
constexpr int depth = 64;

// One of the 64: its request, when it began, where its bytes go.
struct slot {
  ef_request request = {};
  std::int64_t began = 0;
  alignas(4096) char buffer[block];
};

class deep_reader {
 public:
  explicit deep_reader(bench_round &r) : round_(r), order_(r.files.size() / block, r.seed) {}
  std::string run();

 private:
  bool start(slot *s); // false: nothing of it is in progress
  void end(slot *s, ssize_t n, int error);
  void fill();
  bool reap();
  bench_round &round_;
  block_order order_;
  efio_file file_;
  std::unique_ptr<slot[]> slots_{new slot[depth]};
  std::vector<slot *> idle_;
  std::string error_;
  bool finished_ = false;
};

void deep_reader::end(slot *s, ssize_t n, int error) {
  if (n == static_cast<ssize_t>(block))
    round_.done(s->began, block);
  else if (error_.empty())
    error_ = n < 0 ? error_text(error) : "a read was short";
}

bool deep_reader::start(slot *s) {
  std::uint64_t at;
  finished_ = finished_ || !error_.empty() || round_.over() || !order_.next(&at);
  if (finished_) return false;
  s->began = now_ns();
  s->request.data = s;
  ssize_t n = ef_pread(file_.number(), s->buffer, block, static_cast<off_t>(at * block), &s->request);
  if (n < 0 && errno == EINPROGRESS) return true;
  end(s, n, errno);
  return false;
}

void deep_reader::fill() {
  while (!idle_.empty() && !finished_)
    if (start(idle_.back())) idle_.pop_back();
}

bool deep_reader::reap() {
  ef_event events[depth];
  int count = file_.events().wait(events, depth);
  if (count < 0) {
    error_ = error_text(-count);
    (void)slots_.release(); // nobody tells any more when they are free
    return false;
  }
  for (int i = 0; i < count; ++i) {
    if (!(events[i].events & EF_REQUEST)) continue;
    auto *request = static_cast<ef_request *>(events[i].data);
    auto *s = static_cast<slot *>(request->data);
    end(s, request->result, request->error);
    idle_.push_back(s);
  }
  return true;
}

std::string deep_reader::run() {
  error_ = file_.open(round_.files.read_name(), O_RDONLY, EF_PATTERN_RANDOM);
  if (!error_.empty()) return error_;
  for (int i = 0; i < depth; ++i) idle_.push_back(&slots_[static_cast<std::size_t>(i)]);
  round_.begin();
  // Also when it is over: buffers are in use until the last event.
  for (fill(); idle_.size() < depth && reap();) fill();
  round_.end();
  return error_;
}

// What the threads share.
struct shared_order {
  explicit shared_order(bench_round &r) : round(r), order(r.files.size() / block, r.seed) {}
  bool next(std::uint64_t *at) {
    std::lock_guard<std::mutex> hold(mutex);
    return error.empty() && order.next(at);
  }
  void end(const result &part, const std::string &what) {
    std::lock_guard<std::mutex> hold(mutex);
    round.add(part);
    if (error.empty()) error = what;
  }
  bench_round &round;
  std::mutex mutex;
  block_order order;
  std::string error;
};

void read_in_thread(shared_order *all, int fd) {
  alignas(4096) char buffer[block];
  result mine;
  std::string error;
  for (std::uint64_t at; error.empty() && !all->round.over() && all->next(&at);) {
    std::int64_t began = now_ns();
    ssize_t n = pread(fd, buffer, block, static_cast<off_t>(at * block));
    mine.latency.add(now_ns() - began);
    mine.bytes += block;
    if (n != static_cast<ssize_t>(block)) error = n < 0 ? error_text(errno) : "a read was short";
  }
  all->end(mine, error);
}

} // namespace

std::string read_deep_efio(bench_round &r) { return deep_reader(r).run(); }

std::string read_deep_plain(bench_round &r) {
  plain_file f;
  std::string error = f.open(r.files.read_name(), O_RDONLY, POSIX_FADV_RANDOM);
  if (!error.empty()) return error;
  shared_order all(r);
  std::vector<std::thread> threads;
  r.begin();
  try {
    for (int i = 0; i < depth; ++i) threads.emplace_back(read_in_thread, &all, f.fd());
  } catch (const std::system_error &e) {
    all.end(result(), e.what());
  }
  for (std::thread &t : threads) t.join();
  r.end();
  return all.error;
}

} // namespace tool

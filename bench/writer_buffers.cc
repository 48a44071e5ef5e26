// SPDX-License-Identifier: BSD-2-Clause
// Two buffers under one mutex and a thread that writes the full ones: the scheme of muduo's asynchronous logging.
#include "writers.hh"

#include "harness.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

namespace bench {
namespace {

constexpr std::size_t buffer_bytes = 4 << 20;
constexpr std::chrono::seconds interval{3};

struct buffer {
  std::unique_ptr<char[]> data{new char[buffer_bytes]()};
  std::size_t used = 0;
};
using buffer_ptr = std::unique_ptr<buffer>;

class buffers_writer final : public writer {
 public:
  explicit buffers_writer(const std::string &path)
      : writer(put), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
        thread_([this] { run(); }) {}
  ~buffers_writer() override { close(fd_); }

  void finish() override {
    {
      std::lock_guard hold(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    static_cast<buffers_writer *>(lane)->append(text, n);
  }

  void append(const char *text, std::size_t n) {
    std::lock_guard hold(mutex_);
    if (current_->used + n > buffer_bytes) {
      full_.push_back(std::move(current_));
      current_ = next_ ? std::move(next_) : std::make_unique<buffer>(); // grows without a bound, as the model does
      wake_.notify_one();
    }
    std::memcpy(current_->data.get() + current_->used, text, n);
    current_->used += n;
  }

  void run() {
    std::vector<buffer_ptr> writing;
    buffer_ptr spare[2] = {std::make_unique<buffer>(), std::make_unique<buffer>()};
    for (bool last = false; !last;) {
      {
        std::unique_lock hold(mutex_);
        if (full_.empty() && !ending_) wake_.wait_for(hold, interval);
        last = ending_;
        full_.push_back(std::move(current_));
        current_ = std::move(spare[0]);
        writing.swap(full_);
        if (!next_) next_ = std::move(spare[1]);
      }
      write_out(&writing, spare);
    }
  }

  void write_out(std::vector<buffer_ptr> *writing, buffer_ptr spare[2]) {
    for (const buffer_ptr &b : *writing)
      for (std::size_t done = 0; done < b->used;) {
        ssize_t r = write(fd_, b->data.get() + done, b->used - done);
        if (r <= 0) fail("write: %s", std::strerror(errno));
        done += static_cast<std::size_t>(r);
      }
    for (int i = 0; i < 2; ++i) {
      if (spare[i]) continue;
      if (writing->empty()) {
        spare[i] = std::make_unique<buffer>();
      } else {
        spare[i] = std::move(writing->back());
        spare[i]->used = 0;
        writing->pop_back();
      }
    }
    writing->clear();
  }

  int fd_;
  std::mutex mutex_;
  std::condition_variable wake_;
  buffer_ptr current_ = std::make_unique<buffer>(), next_ = std::make_unique<buffer>();
  std::vector<buffer_ptr> full_;
  bool ending_ = false;
  std::thread thread_; // last: it uses the members above
};

} // namespace

const writer_kind two_buffers{"mutex, two 4 MiB buffers", [](const std::string &path, int) -> std::unique_ptr<writer> {
                                return std::make_unique<buffers_writer>(path);
                              }};

} // namespace bench

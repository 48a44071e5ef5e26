// SPDX-License-Identifier: BSD-2-Clause
// Lines through a libuv loop on a thread of its own, which other threads reach by uv_async_send: one uv_fs_write for
// each line, or for each 64 KiB that have come together or are 200 ms old.
#include "writers.hh"

#include "harness.hh"

#include <uv.h>

#include <fcntl.h>
#include <unistd.h>

#include <mutex>
#include <thread>

namespace bench {
namespace {

constexpr std::size_t batch_bytes = 65536;
constexpr std::uint64_t batch_age_ms = 200;

class uv_writer;

// Bytes that are being written, by one request or many.
struct lines_taken {
  uv_writer *owner = nullptr;
  std::vector<char> bytes;
  std::vector<std::size_t> ends; // of the pieces that are written by a request each
  std::vector<uv_fs_t> requests;
  std::size_t under_way = 0;
};

class uv_writer final : public writer {
 public:
  uv_writer(const std::string &path, bool batches) : writer(put), batches_(batches) {
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0 || uv_loop_init(&loop_) != 0) fail("no libuv loop");
    uv_async_init(&loop_, &async_, [](uv_async_t *a) { static_cast<uv_writer *>(a->data)->take(); });
    uv_timer_init(&loop_, &timer_);
    async_.data = timer_.data = this;
    if (batches_)
      uv_timer_start(
          &timer_, [](uv_timer_t *t) { static_cast<uv_writer *>(t->data)->take(); }, batch_age_ms, batch_age_ms);
    thread_ = std::thread([this] { uv_run(&loop_, UV_RUN_DEFAULT); });
  }
  ~uv_writer() override { close(fd_); }

  void finish() override {
    {
      std::lock_guard hold(mutex_);
      ending_ = true;
    }
    uv_async_send(&async_);
    thread_.join();
    if (uv_loop_close(&loop_) != 0) fail("uv_loop_close");
  }

 private:
  [[gnu::noinline]] static void put(void *lane, const char *text, std::size_t n) {
    static_cast<uv_writer *>(lane)->append(text, n);
  }

  void append(const char *text, std::size_t n) {
    bool tell;
    {
      std::lock_guard hold(mutex_);
      if (!next_) next_ = std::make_unique<lines_taken>();
      next_->bytes.insert(next_->bytes.end(), text, text + n);
      std::size_t all = next_->bytes.size();
      bool piece = !batches_ || all - (next_->ends.empty() ? 0 : next_->ends.back()) >= batch_bytes;
      if (piece) next_->ends.push_back(all);
      tell = piece && next_->ends.size() == 1;
    }
    if (tell) uv_async_send(&async_);
  }

  // On the loop's thread from here on.
  void take() {
    std::unique_ptr<lines_taken> taken;
    {
      std::lock_guard hold(mutex_);
      taken = std::move(next_);
      over_ = ending_;
    }
    if (taken) write_out(taken.release());
    end_if_over();
  }

  void write_out(lines_taken *taken) {
    if (taken->ends.empty() || taken->ends.back() != taken->bytes.size()) taken->ends.push_back(taken->bytes.size());
    taken->requests.resize(taken->ends.size());
    taken->owner = this;
    taken->under_way = taken->ends.size();
    ++under_way_;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < taken->ends.size(); begin = taken->ends[i++]) {
      uv_fs_t *request = &taken->requests[i];
      uv_buf_t buffer = uv_buf_init(taken->bytes.data() + begin, static_cast<unsigned>(taken->ends[i] - begin));
      request->data = taken;
      uv_fs_write(&loop_, request, fd_, &buffer, 1, offset_, [](uv_fs_t *r) { done(r); });
      offset_ += static_cast<std::int64_t>(buffer.len);
    }
  }

  static void done(uv_fs_t *request) {
    auto *taken = static_cast<lines_taken *>(request->data);
    uv_writer *me = taken->owner;
    if (request->result < 0) fail("uv_fs_write: %s", uv_strerror(static_cast<int>(request->result)));
    uv_fs_req_cleanup(request);
    if (--taken->under_way > 0) return;
    delete taken;
    --me->under_way_;
    me->end_if_over();
  }

  void end_if_over() {
    if (!over_ || under_way_ > 0 || uv_is_closing(reinterpret_cast<uv_handle_t *>(&async_))) return;
    uv_close(reinterpret_cast<uv_handle_t *>(&async_), nullptr);
    uv_close(reinterpret_cast<uv_handle_t *>(&timer_), nullptr);
  }

  const bool batches_;
  int fd_;
  std::mutex mutex_;
  std::unique_ptr<lines_taken> next_; // under the mutex
  bool ending_ = false;               // under the mutex
  bool over_ = false;                 // the loop's, as all below
  std::size_t under_way_ = 0;
  std::int64_t offset_ = 0;
  uv_loop_t loop_;
  uv_async_t async_;
  uv_timer_t timer_;
  std::thread thread_;
};

template<bool batches> std::unique_ptr<writer> open_uv(const std::string &path, int) {
  return std::make_unique<uv_writer>(path, batches);
}

} // namespace

const writer_kind uv_lines{"libuv, one request a line", open_uv<false>};
const writer_kind uv_batches{"libuv, 64 KiB batches", open_uv<true>};

} // namespace bench

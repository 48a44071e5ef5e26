// SPDX-License-Identifier: BSD-2-Clause
// Lines a second that last: from the first line until all are in the file, with the processor time and the memory it
// takes.
#include "harness.hh"

#include "lines.hh"
#include "memory.hh"
#include "timing.hh"
#include "writers.hh"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t probe_lines = 20'000, lines_most = 4'000'000, batch = 500;

// A run ends after so many lines of all threads or so many seconds of writing, whichever comes first.
struct extent {
  std::size_t lines;
  double seconds;
};

struct run_result {
  double seconds, cpu_seconds;
  std::vector<std::size_t> lines; // of each thread
  std::uint64_t waits;
};

class run {
 public:
  run(const writer_kind &kind, const std::string &path, int threads, extent most)
      : out_(kind.open(path, threads)), each_(most.lines / static_cast<std::size_t>(threads)), most_(most),
        written_(static_cast<std::size_t>(threads)) {}

  run_result result() {
    std::vector<std::thread> others;
    for (std::size_t t = 1; t < written_.size(); ++t) others.emplace_back(&run::write_lines, this, t);
    usage used(RUSAGE_SELF);
    begin_ = now_ns();
    go_.store(true, std::memory_order_release); // pairs with write_lines
    write_lines(0);
    for (std::thread &t : others) t.join();
    out_->finish();
    double seconds = static_cast<double>(now_ns() - begin_) / 1e9;
    return {seconds, used.cpu_seconds(), written_, out_->waits()};
  }

 private:
  void write_lines(std::size_t thread) {
    line_cycle lines(static_cast<int>(thread));
    line_fn *line = out_->line;
    void *lane = out_->lane(static_cast<int>(thread));
    std::size_t length = line_length(), done = 0;
    while (!go_.load(std::memory_order_acquire)) std::this_thread::yield(); // pairs with result()
    std::int64_t end = begin_ + static_cast<std::int64_t>(most_.seconds * 1e9);
    while (done < each_ && now_ns() < end)
      for (std::size_t i = 0; i < batch; ++i) line(lane, lines.at(done++), length);
    written_[thread] = done;
  }

  std::unique_ptr<writer> out_;
  std::size_t each_;
  extent most_;
  std::vector<std::size_t> written_; // by thread; read when the threads have ended
  std::int64_t begin_ = 0;           // published by go_
  std::atomic<bool> go_{false};
};

// All lines have arrived, whole, those of each thread in their order.
run_result checked_run(const writer_kind &kind, const std::string &path, int threads, extent most) {
  run_result r = run(kind, path, threads, most).result();
  std::string wrong = check_lines(path, r.lines, kind.heading);
  unlink(path.c_str());
  if (!wrong.empty()) fail("%s", wrong.c_str());
  return r;
}

void measure(const writer_kind &kind, const std::string &path, int threads, double seconds, double *values) {
  double before = status_kb("VmRSS:");
  checked_run(kind, path, threads, {probe_lines, 60});
  run_result r = checked_run(kind, path, threads, {lines_most, seconds});
  double lines = static_cast<double>(std::accumulate(r.lines.begin(), r.lines.end(), std::size_t{0}));
  values[0] = lines / r.seconds / 1e6;
  values[1] = r.cpu_seconds / (lines * line_bytes / 1e9);
  values[2] = (status_kb("VmHWM:") - before) / 1024;
  values[3] = static_cast<double>(r.waits);
}

row make_row(const std::string &directory, const std::string &name, const std::string &title, int threads) {
  row r{name,
        title,
        {{"M lines/s", 2}, {"CPU s/GB", 2}, {"peak MiB", 1, false}, {"waits", 0, false}},
        {},
        write_blocks.name};
  for (const writer_kind *kind : file_writers(threads))
    r.variants.push_back({kind->name, [=, path = directory + "/lines"](double seconds, double *values) {
                            measure(*kind, path, threads, seconds, values);
                          }});
  r.comparisons = {{efio_writer.name, write_blocks.name, {0, 1}},
                   {efio_writer.name, (threads == 1 ? stdio_unlocked : stdio_locked).name, {0, 1}}};
  if (threads > 1) r.comparisons.push_back({efio_by_thread.name, write_blocks.name, {0, 1}});
  r.warm_up = false; // each measurement begins with a short run
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  auto add = [&](const std::string &directory, const char *suffix, const char *place) {
    for (int threads : {1, 2, 4}) {
      std::string n = std::to_string(threads);
      rows->push_back(make_row(directory, "lines-" + n + suffix,
                               "sustained, final flush included: " + n +
                                   (threads == 1 ? " thread, " : " threads, one file, ") + place,
                               threads));
    }
  };
  add(o.directory, "", "disk");
  if (o.memory_directory.empty()) return;
  add(o.memory_directory, "-shm", "/dev/shm");
  rows->back().goals.push_back({"4 threads into one file on /dev/shm, M lines/s", efio_writer.name, "", 0, false, 10});
}

const family sustained(20, add_rows);

} // namespace
} // namespace bench

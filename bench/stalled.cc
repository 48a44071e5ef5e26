// SPDX-License-Identifier: BSD-2-Clause
// What a loop that writes lines feels when the disk stands still: its calls, its timer, its memory, its lines.
#include "harness.hh"

#include "lateness.hh"
#include "lines.hh"
#include "memory.hh"
#include "stalled_disk.hh"
#include "timing.hh"
#include "writers.hh"

#include <ev.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

namespace bench {
namespace {

constexpr int lines_a_tick = 100; // 10 MB/s; 20 MB come together in 2 s
constexpr double before_seconds = 0.2, after_seconds = 0.3;

// A loop whose timer of 1 ms writes lines, before, while and after the disk stands still.
class stalled_run {
 public:
  stalled_run(writer *out, stalled_disk *disk, double seconds)
      : out_(out), disk_(disk), lane_(out->lane(0)), seconds_(seconds) {
    ev_timer_init(
        &timer_, [](struct ev_loop *, ev_timer *t, int) { static_cast<stalled_run *>(t->data)->tick(); }, timer_seconds,
        timer_seconds);
    timer_.data = this;
  }
  void run() {
    ev_timer_start(loop_, &timer_);
    ev_run(loop_, 0);
    ev_loop_destroy(loop_);
    late_.finish();
  }

  std::size_t offered() const { return offered_; } // all lines
  double offered_frozen() const { return static_cast<double>(offered_frozen_); }
  double longest_ms() const { return static_cast<double>(longest_) / 1e6; }
  const lateness &late() const { return late_; }
  double grown_mib() const { return grown_; }

 private:
  void tick() {
    std::int64_t now = now_ns();
    bool frozen = disk_->frozen();
    if (asked_) late_.tick();
    if (!asked_ && now - begin_ > static_cast<std::int64_t>(before_seconds * 1e9)) ask();
    for (int i = 0; i < lines_a_tick; ++i) offer(frozen);
    if (!asked_ || !disk_->over()) return;
    if (!thawed_) thawed_ = now_ns();
    if (now_ns() - thawed_ < static_cast<std::int64_t>(after_seconds * 1e9)) return;
    grown_ = (status_kb("VmHWM:") - resident_) / 1024;
    ev_timer_stop(loop_, &timer_);
  }

  void ask() {
    asked_ = true;
    forget_peak();
    resident_ = status_kb("VmRSS:");
    disk_->stall(seconds_);
  }

  void offer(bool frozen) {
    const char *text = line_.number(offered_++);
    std::int64_t begin = now_ns();
    out_->line(lane_, text, line_length());
    if (asked_) longest_ = std::max(longest_, now_ns() - begin);
    offered_frozen_ += frozen;
  }

  writer *out_;
  stalled_disk *disk_;
  void *lane_;
  double seconds_;
  struct ev_loop *loop_ = ev_loop_new(0);
  ev_timer timer_{};
  numbered_line line_{0};
  lateness late_;
  bool asked_ = false;
  std::int64_t begin_ = now_ns(), thawed_ = 0, longest_ = 0;
  std::size_t offered_ = 0, offered_frozen_ = 0;
  double resident_ = 0, grown_ = 0;
};

struct place {
  std::string image, at;
  std::shared_ptr<std::string> trouble; // of making the image, which is done late
};

void measure(const writer_kind &kind, const place &where, double seconds, double *values) {
  if (!where.trouble->empty()) skip("%s", where.trouble->c_str());
  stalled_disk disk(where.image, where.at);
  std::string path = where.at + "/lines";
  std::unique_ptr<writer> out = kind.open(path, 1);
  stalled_run run(out.get(), &disk, seconds);
  run.run();
  out->finish();
  std::vector<std::size_t> written(1);
  std::string wrong = kind.file ? check_numbered(path, kind.heading, &written) : "";
  if (!wrong.empty()) fail("%s", wrong.c_str());
  double refused = static_cast<double>(out->refused()), dropped = static_cast<double>(out->dropped());
  double all = static_cast<double>(run.offered());
  double there = kind.file ? static_cast<double>(written[0]) : all;
  double lost = all - refused - dropped - there;
  values[0] = run.longest_ms();
  values[1] = run.late().ms(0.99);
  values[2] = run.late().ms(1);
  values[3] = run.offered_frozen() / 1e3;
  values[4] = refused / 1e3;
  values[5] = dropped / 1e3;
  values[6] = lost;
  values[7] = run.grown_mib();
  out.reset();
}

void add_rows(const options &o, std::vector<row> *rows) {
  char seconds[16];
  std::snprintf(seconds, sizeof seconds, "%g", o.stall_seconds);
  row r{"stalled",
        std::string("a loop offers 100 lines each ms while the disk stands still for ") + seconds + " s",
        {{"longest call ms", 2},
         {"timer p99 ms late", 2, false},
         {"max ms", 1},
         {"1000 lines offered then", 0, false},
         {"refused", 1, false},
         {"dropped", 1, false},
         {"lines lost untold", 0},
         {"growth MiB", 1}},
        {},
        memcpy_small.name,
        2};
  place where{o.directory + "/image", o.directory + "/stalled", std::make_shared<std::string>()};
  std::vector<const writer_kind *> kinds{&memcpy_small, &efio_told, &efio_drops, &efio_waits};
  for (const writer_kind *kind : file_writers(1))
    if (kind != &efio_writer) kinds.push_back(kind);
  for (const writer_kind *kind : kinds)
    r.variants.push_back({kind->name, [=](double seconds, double *values) { measure(*kind, where, seconds, values); }});
  r.goals = {{"longest ef_write while the disk stands still, ms", efio_told.name, "", 0, true, 1},
             {"lines that ef_write took and lost then", efio_told.name, "", 6, true, 0, true}};
  r.seconds = o.stall_seconds;
  r.warm_up = false;
  r.prepare = [=] { *where.trouble = make_image(where.image); };
  rows->push_back(std::move(r));
}

const family stalled(22, add_rows);

} // namespace
} // namespace bench

// SPDX-License-Identifier: BSD-2-Clause
// Reports: the same numbers three times.
#include "bench_report.hh"

#include "json.hh"
#include "latency_plot.hh"
#include "mounts.hh"

#include <efio.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>

namespace tool {
namespace {

struct named_share {
  const char *name;
  double share;
};
constexpr named_share shares[] = {{"p50", 0.5},     {"p90", 0.9},       {"p99", 0.99},
                                  {"p99_9", 0.999}, {"p99_99", 0.9999}, {"p99_999", 0.99999}};

std::string time_text(double ns) {
  const char *const units[] = {"ns", "us", "ms", "s"};
  int unit = 0;
  for (; ns >= 999.5 && unit < 3; ++unit) ns /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, ns < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", ns, units[unit]);
  return text;
}

std::string rate_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 9.95 ? "%.2f" : "%.0f", value);
  return text;
}

double per_second(double amount, const result &r) { return r.seconds > 0 ? amount / r.seconds : 0; }

void add_row(std::string *out, const char *test, const char *who, const result &r) {
  double count = static_cast<double>(r.latency.count());
  std::string columns[] = {rate_text(per_second(count, r)),
                           rate_text(per_second(static_cast<double>(r.bytes) / 1e6, r)),
                           time_text(static_cast<double>(r.latency.percentile(0.5))),
                           time_text(static_cast<double>(r.latency.percentile(0.99))),
                           time_text(static_cast<double>(r.latency.percentile(0.999))),
                           time_text(static_cast<double>(r.latency.most())),
                           time_text(count > 0 ? r.cpu_seconds * 1e9 / count : 0)};
  char text[64];
  std::snprintf(text, sizeof text, "%-17s%-20s", test, who);
  *out += text;
  for (const std::string &column : columns) {
    std::snprintf(text, sizeof text, " %8s", column.c_str());
    *out += text;
  }
  *out += '\n';
}

void add_result(json *out, const char *who, const result &r) {
  out->begin_object();
  out->text("who", who);
  out->integer("operations", r.latency.count());
  out->integer("bytes", r.bytes);
  out->number("seconds", r.seconds);
  out->number("cpu_seconds", r.cpu_seconds);
  out->number("operations_per_second", per_second(static_cast<double>(r.latency.count()), r));
  out->number("bytes_per_second", per_second(static_cast<double>(r.bytes), r));
  out->begin_object("latency_ns");
  out->integer("min", static_cast<std::uint64_t>(r.latency.least()));
  out->number("mean", r.latency.mean());
  for (const named_share &s : shares) out->integer(s.name, static_cast<std::uint64_t>(r.latency.percentile(s.share)));
  out->integer("max", static_cast<std::uint64_t>(r.latency.most()));
  out->end_object();
  // Pairs: the highest latency of a bucket, and how many calls fell into it.
  out->begin_array("histogram");
  for (std::size_t i = 0; i < histogram::size(); ++i)
    if (r.latency.at(i) > 0) out->pair(static_cast<std::uint64_t>(histogram::highest(i)), r.latency.at(i));
  out->end_array();
  out->end_object();
}

void add_test(json *out, const outcome &o) {
  out->begin_object();
  out->text("name", o.of->name);
  out->text("title", o.of->title);
  if (!o.skipped.empty()) out->text("skipped", o.skipped);
  if (!o.failed.empty()) out->text("failed", o.failed);
  out->begin_array("results");
  for (int i = 0; i < 2; ++i)
    if (o.results[i].latency.count() > 0) add_result(out, o.of->variants[i].who, o.results[i]);
  out->end_array();
  out->end_object();
}

std::string size_text(std::uint64_t size) { return std::to_string(size >> 20) + " MiB"; }

} // namespace

bench_setting setting_of(const std::string &path, const bench_files &files) {
  bench_setting s;
  s.path = path;
  s.size = files.size();
  s.clock_ns = clock_ns();
  utsname u;
  if (uname(&u) == 0) s.kernel = u.release;
  int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd >= 0) s.file_system = mount_of(fd).type, close(fd);
  ef_port_counters c = {};
  c.size = sizeof c;
  ef_port *port = ef_port_new(nullptr);
  if (port && ef_port_stats(port, &c) == 0) s.engine = c.engine_name, s.engine_reason = c.engine_reason;
  if (port) ef_port_free(port);
  return s;
}

std::string table(const bench_setting &s, const std::vector<outcome> &all) {
  std::string out = s.path + ": " + s.file_system + ", " + size_text(s.size) + "; Linux " + s.kernel + ", efio " +
                    ef_version() + " with engine " + s.engine + "; the clock's part of a latency " +
                    time_text(s.clock_ns) + "\n\n";
  char head[128];
  std::snprintf(head, sizeof head, "%-17s%-20s %8s %8s %8s %8s %8s %8s %8s\n", "test", "who", "calls/s", "MB/s", "p50",
                "p99", "p99.9", "max", "CPU/call");
  out += head;
  for (const outcome &o : all) {
    std::string why = o.skipped.empty() ? o.failed : o.skipped;
    if (!why.empty()) {
      std::snprintf(head, sizeof head, "%-17s%s: ", o.of->name, o.skipped.empty() ? "FAILED" : "skipped");
      out += head + why + "\n";
      continue;
    }
    for (int i = 0; i < 2; ++i) add_row(&out, i == 0 ? o.of->name : "", o.of->variants[i].who, o.results[i]);
  }
  return out;
}

std::string as_json(const bench_setting &s, const std::vector<outcome> &all) {
  json out;
  out.begin_object();
  out.text("version", ef_version());
  out.text("kernel", s.kernel);
  out.text("path", s.path);
  out.text("file_system", s.file_system);
  out.text("engine", s.engine);
  out.text("engine_note", s.engine_reason);
  out.integer("size", s.size);
  out.number("clock_ns", s.clock_ns);
  out.begin_array("tests");
  for (const outcome &o : all) add_test(&out, o);
  out.end_array();
  out.end_object();
  return out.finish();
}

std::string as_svg(const bench_setting &s, const std::vector<outcome> &all) {
  std::vector<plot_line> lines;
  int colour = 0;
  for (const outcome &o : all) {
    for (int i = 0; i < 2; ++i)
      if (o.results[i].latency.count() > 0)
        lines.push_back(
            {std::string(o.of->name) + ": " + o.of->variants[i].who, colour, i == 1, &o.results[i].latency});
    ++colour;
  }
  return latency_plot("efio bench: how long calls take",
                      s.path + ": " + s.file_system + ", " + size_text(s.size) + "; Linux " + s.kernel + ", efio " +
                          ef_version() + " with engine " + s.engine,
                      lines);
}

} // namespace tool

// SPDX-License-Identifier: BSD-2-Clause
// Tables, figures and the JSON file.
#include "report.hh"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>

namespace bench {
namespace {

using line = std::vector<std::string>;

[[gnu::format(printf, 1, 2)]] std::string text(const char *format, ...) {
  char out[128];
  std::va_list args;
  va_start(args, format);
  std::vsnprintf(out, sizeof out, format, args);
  va_end(args);
  return out;
}

std::string with_spread(const std::vector<double> &samples, int decimals, bool spread) {
  if (samples.empty()) return "-";
  summary s = summarize(samples);
  std::string median = text("%.*f", decimals, s.median);
  return spread ? median + text(" (%.*f..%.*f)", decimals, s.least, decimals, s.most) : median;
}

bool measured(const outcome &o) { return !o.samples.empty() && !o.samples[0].empty(); }

line head_of(const row &r) {
  line head{""};
  const std::size_t m = static_cast<std::size_t>(r.ratio_metric);
  if (!r.reference.empty()) head.push_back(std::string("ratio of ") + r.metrics[m].name);
  for (const metric &c : r.metrics) head.push_back(c.name);
  return head;
}

line line_of(const row_result &result, const outcome &o) {
  const row &r = *result.of;
  line cells{"  " + o.name};
  if (!measured(o)) {
    cells.push_back(!o.failed.empty() ? "FAILED: " + o.failed : "SKIPPED: " + o.skipped);
    return cells;
  }
  const outcome *reference = find(result, r.reference);
  if (reference) cells.push_back(with_spread(ratios(o, *reference, r.ratio_metric), 2, &o != reference));
  for (std::size_t m = 0; m < r.metrics.size(); ++m)
    cells.push_back(with_spread(o.samples[m], r.metrics[m].decimals, r.metrics[m].spread));
  return cells;
}

void print_lines(const std::vector<line> &lines) {
  std::vector<std::size_t> widths(lines[0].size());
  for (const line &l : lines)
    for (std::size_t i = 0; l.size() == widths.size() && i < l.size(); ++i)
      widths[i] = std::max(widths[i], l[i].size());
  for (const line &l : lines) widths[0] = std::max(widths[0], l[0].size());
  for (const line &l : lines) {
    for (std::size_t i = 0; i < l.size(); ++i)
      std::printf("%-*s", i + 1 < l.size() ? static_cast<int>(widths[i]) + 2 : 0, l[i].c_str());
    std::printf("\n");
  }
}

// What a goal is compared with; false: there is nothing.
bool figure(const row_result &result, const goal &g, double *out) {
  const outcome *o = find(result, g.variant), *against = find(result, g.against);
  if (!o || !measured(*o) || (!g.against.empty() && (!against || !measured(*against)))) return false;
  std::vector<double> samples =
      against ? ratios(*o, *against, g.metric) : o->samples[static_cast<std::size_t>(g.metric)];
  if (samples.empty()) return false;
  summary s = summarize(samples);
  *out = !g.worst ? s.median : g.at_most ? s.most : s.least;
  return true;
}

// Empty: one of them was not measured.
std::vector<double> compared(const row_result &result, const comparison &c, int metric) {
  const outcome *o = find(result, c.variant), *against = find(result, c.against);
  return o && against && measured(*o) && measured(*against) ? ratios(*o, *against, metric) : std::vector<double>{};
}

void print_comparisons(const row_result &result) {
  for (const comparison &c : result.of->comparisons) {
    std::string figures;
    for (int m : c.metrics) {
      std::vector<double> samples = compared(result, c, m);
      if (samples.empty()) break;
      figures += (figures.empty() ? "" : ", ") + std::string(result.of->metrics[static_cast<std::size_t>(m)].name) +
                 " x " + with_spread(samples, 2, true);
    }
    if (!figures.empty()) std::printf("  %s / %s: %s\n", c.variant.c_str(), c.against.c_str(), figures.c_str());
  }
}

bool reached(const goal &g, double value) { return g.at_most ? value <= g.bound : value >= g.bound; }

// ---- JSON
using file_ptr = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

std::string quoted(const std::string &s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= ' ')
      out += c;
    else
      out += text("\\u%04x", c);
  }
  return out + "\"";
}

std::string json_samples(const std::vector<double> &samples) {
  if (samples.empty()) return "null";
  summary s = summarize(samples);
  std::string out = text("{\"median\": %.9g, \"min\": %.9g, \"max\": %.9g, ", s.median, s.least, s.most) +
                    text("\"quartile1\": %.9g, \"quartile3\": %.9g, \"samples\": [", s.quartile1, s.quartile3);
  for (std::size_t i = 0; i < samples.size(); ++i) out += (i ? ", " : "") + text("%.9g", samples[i]);
  return out + "]}";
}

// Items of an object or array, with the commas between them.
std::string joined(const line &items, const char *between) {
  std::string out;
  for (const std::string &i : items) out += (out.empty() ? "" : between) + i;
  return out;
}

std::string json_comparison(const row_result &result, const comparison &c) {
  line metrics;
  for (int m : c.metrics)
    metrics.push_back(quoted(result.of->metrics[static_cast<std::size_t>(m)].name) + ": " +
                      json_samples(compared(result, c, m)));
  return "{\"of\": " + quoted(c.variant) + ", \"to\": " + quoted(c.against) + ", " + joined(metrics, ", ") + "}";
}

std::string json_outcome(const row_result &result, const outcome &o) {
  const row &r = *result.of;
  line items{"\"name\": " + quoted(o.name)};
  if (!o.failed.empty()) items.push_back("\"failed\": " + quoted(o.failed));
  if (!o.skipped.empty()) items.push_back("\"skipped\": " + quoted(o.skipped));
  const outcome *reference = find(result, r.reference);
  if (reference && measured(o)) items.push_back("\"ratio\": " + json_samples(ratios(o, *reference, r.ratio_metric)));
  line metrics;
  for (std::size_t m = 0; measured(o) && m < r.metrics.size(); ++m)
    metrics.push_back(quoted(r.metrics[m].name) + ": " + json_samples(o.samples[m]));
  items.push_back("\"metrics\": {" + joined(metrics, ",\n        ") + "}");
  return "{" + joined(items, ",\n       ") + "}";
}

std::string json_goal(const row_result &result, const goal &g) {
  double value;
  bool there = figure(result, g, &value);
  return "{\"goal\": " + quoted(g.text) + ", \"at\": \"" + (g.at_most ? "most" : "least") + "\"" +
         text(", \"bound\": %.9g, \"measured\": ", g.bound) + (there ? text("%.9g", value) : "null") +
         ", \"reached\": " + (there ? reached(g, value) ? "true" : "false" : "null") + "}";
}

std::string json_row(const row_result &result) {
  const row &r = *result.of;
  line variants, goals, comparisons;
  for (const outcome &o : result.outcomes) variants.push_back(json_outcome(result, o));
  for (const goal &g : r.goals) goals.push_back(json_goal(result, g));
  for (const comparison &c : r.comparisons) comparisons.push_back(json_comparison(result, c));
  line items{"\"row\": " + quoted(r.name), "\"title\": " + quoted(r.title)};
  if (!r.reference.empty()) {
    items.push_back("\"reference\": " + quoted(r.reference));
    items.push_back("\"ratio_of\": " + quoted(r.metrics[static_cast<std::size_t>(r.ratio_metric)].name));
  }
  items.push_back("\"variants\": [\n      " + joined(variants, ",\n      ") + "]");
  items.push_back("\"comparisons\": [" + joined(comparisons, ",\n      ") + "]");
  items.push_back("\"goals\": [" + joined(goals, ",\n      ") + "]");
  return "{" + joined(items, ",\n     ") + "}";
}

} // namespace

void print_facts(const facts &machine) {
  for (const auto &[name, value] : machine) std::printf("%-36s%s\n", name.c_str(), value.c_str());
}

void print_row(const row_result &r) {
  std::printf("\n%s: %s  [%.0f s]\n", r.of->name.c_str(), r.of->title.c_str(), r.seconds);
  std::vector<line> lines{head_of(*r.of)};
  if (!r.of->reference.empty()) lines[0][0] = "  (ratios to: " + r.of->reference + ")";
  for (const outcome &o : r.outcomes) lines.push_back(line_of(r, o));
  print_lines(lines);
  print_comparisons(r);
  std::fflush(stdout);
}

void print_goals(const std::vector<row_result> &results) {
  std::vector<line> lines{{"what has to be reached", "measured", "bound", ""}};
  for (const row_result &r : results)
    for (const goal &g : r.of->goals) {
      double value;
      bool there = figure(r, g, &value);
      lines.push_back({"  " + g.text, there ? text("%.2f", value) : "-", text(g.at_most ? "<= %g" : ">= %g", g.bound),
                       !there              ? "not measured"
                       : reached(g, value) ? "reached"
                                           : "MISSED"});
    }
  std::printf("\n");
  if (lines.size() > 1) print_lines(lines);
}

bool write_json(const std::string &path, const facts &machine, const options &o,
                const std::vector<row_result> &results) {
  file_ptr out(std::fopen(path.c_str(), "we"), std::fclose);
  if (!out) return false;
  line about, rows;
  for (const auto &[name, value] : machine) about.push_back(quoted(name) + ": " + quoted(value));
  for (const row_result &r : results) rows.push_back(json_row(r));
  std::fprintf(out.get(), "{\"machine\": {%s},\n \"repetitions\": %d, \"seconds\": %g,\n \"rows\": [\n    %s]}\n",
               joined(about, ",\n   ").c_str(), o.repetitions, o.seconds, joined(rows, ",\n    ").c_str());
  return std::fclose(out.release()) == 0;
}

} // namespace bench

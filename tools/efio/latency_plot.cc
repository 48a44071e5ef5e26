// SPDX-License-Identifier: BSD-2-Clause
// A percentile p is drawn at log10(1 / (1 - p)): 90 % at 1, 99 % at 2, 99.9 % at 3.
#include "latency_plot.hh"

#include "utf8.hh"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace tool {
namespace {

constexpr double width = 1040, height = 600, left = 80, right = 320, top = 70, bottom = 60;
constexpr double plot_width = width - left - right, plot_height = height - top - bottom;
// Told apart also by those who see no red or no green (Okabe and Ito, 2008).
constexpr const char *colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

struct axes {
  double decades_x;     // from 0
  double low_y, high_y; // powers of ten, in nanoseconds
  double x(double decade) const { return left + decade / decades_x * plot_width; }
  double y(double ns) const { return top + (high_y - std::log10(std::max(ns, 1.0))) / (high_y - low_y) * plot_height; }
};

[[gnu::format(printf, 2, 3)]] void add(std::string *out, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  *out += text;
}

// XML has no control characters, not even escaped.
std::string escaped(const std::string &text) {
  std::string out;
  for (char c : valid_utf8(text)) switch (c) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  return out;
}

axes axes_of(const std::vector<plot_line> &lines) {
  std::uint64_t most_counted = 10;
  double least = 1e12, most = 1;
  for (const plot_line &l : lines) {
    most_counted = std::max(most_counted, l.latency->count());
    least = std::min(least, static_cast<double>(std::max<std::int64_t>(l.latency->least(), 1)));
    most = std::max(most, static_cast<double>(l.latency->most()));
  }
  least = std::min(least, most);
  axes a{std::ceil(std::log10(static_cast<double>(most_counted))), std::floor(std::log10(least)),
         std::ceil(std::log10(most))};
  if (a.high_y <= a.low_y) a.high_y = a.low_y + 1;
  return a;
}

std::string time_text(int power) {
  const char *const units[] = {"ns", "\xc2\xb5s", "ms", "s"};
  int unit = std::clamp(power / 3, 0, 3);
  return std::to_string(static_cast<long>(std::lround(std::pow(10, power - unit * 3)))) + " " + units[unit];
}

// "0", "90 %", "99 %", "99.9 %" ...
std::string percent_text(int decade) {
  if (decade < 2) return decade == 0 ? "0" : "90 %";
  return "99" + (decade > 2 ? "." + std::string(static_cast<std::size_t>(decade - 2), '9') : "") + " %";
}

void draw_grid(std::string *out, const axes &a) {
  for (int decade = 0; decade <= static_cast<int>(a.decades_x); ++decade) {
    double x = a.x(decade);
    add(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, top, x, top + plot_height);
    add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x, top + plot_height + 18,
        percent_text(decade).c_str());
  }
  for (int power = static_cast<int>(a.low_y); power <= static_cast<int>(a.high_y); ++power) {
    double y = a.y(std::pow(10, power));
    add(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", left, y, left + plot_width, y);
    add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left - 8, y + 4, time_text(power).c_str());
  }
  add(out, "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", left, top, plot_width,
      plot_height);
  add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">percentile of the calls (logarithmic)</text>\n",
      left + plot_width / 2, height - 16);
  add(out,
      "<text x=\"20\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 20 %.1f)\">latency of a call "
      "(ns to s, logarithmic)</text>\n",
      top + plot_height / 2, top + plot_height / 2);
}

// Each bucket is one point: where its share of the calls is passed. The last one, which is behind every percentile, is
// drawn where one call of all is left.
std::string points_of(const histogram &h, const axes &a) {
  std::string out;
  std::uint64_t passed = 0;
  double all = static_cast<double>(h.count());
  add(&out, "%.1f,%.1f", a.x(0), a.y(static_cast<double>(h.least())));
  for (std::size_t i = 0; i < histogram::size(); ++i) {
    if (h.at(i) == 0) continue;
    passed += h.at(i);
    double left_over = std::max(all - static_cast<double>(passed), 1.0) / all;
    double ns = static_cast<double>(std::min(histogram::highest(i), h.most()));
    add(&out, " %.1f,%.1f", a.x(-std::log10(left_over)), a.y(ns));
  }
  return out;
}

void draw_line(std::string *out, const plot_line &l, const axes &a, int place) {
  const char *colour = colours[static_cast<std::size_t>(l.colour) % std::size(colours)];
  const char *dashes = l.dashed ? " stroke-dasharray=\"6 4\"" : "";
  std::string name = escaped(l.label);
  add(out, "<polyline class=\"line\" stroke=\"%s\"%s points=\"", colour, dashes);
  *out += points_of(*l.latency, a) + "\"><title>" + name + "</title></polyline>\n";
  double x = left + plot_width + 24, y = top + 10 + place * 22;
  add(out, "<line class=\"line\" stroke=\"%s\"%s x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", colour, dashes,
      x, y, x + 34, y);
  add(out, "<text x=\"%.1f\" y=\"%.1f\">", x + 42, y + 4);
  *out += name + "</text>\n";
}

} // namespace

std::string latency_plot(const std::string &title, const std::string &subtitle, const std::vector<plot_line> &lines) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  add(&out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%.0f\" height=\"%.0f\" "
      "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
      width, height, width, height);
  out += "<title>" + escaped(title) + "</title>\n";
  out += "<style>.grid { stroke: #dddddd; } .frame { stroke: #888888; fill: none; } "
         ".line { fill: none; stroke-width: 2; }</style>\n";
  add(&out, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", width, height);
  add(&out, "<text x=\"%.1f\" y=\"28\" font-size=\"17\">", left);
  out += escaped(title) + "</text>\n";
  add(&out, "<text x=\"%.1f\" y=\"50\" fill=\"#666666\">", left);
  out += escaped(subtitle) + "</text>\n";
  axes a = axes_of(lines);
  draw_grid(&out, a);
  int place = 0;
  for (const plot_line &l : lines) draw_line(&out, l, a, place++);
  return out + "</svg>\n";
}

} // namespace tool

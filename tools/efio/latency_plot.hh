// SPDX-License-Identifier: BSD-2-Clause
// Distributions of latencies as a picture: SVG 1.1, which any browser shows and which needs no other file.
#ifndef EFIO_TOOL_LATENCY_PLOT_HH
#define EFIO_TOOL_LATENCY_PLOT_HH

#include "histogram.hh"

#include <string>
#include <vector>

namespace tool {

struct plot_line {
  std::string label;
  int colour;  // lines of one colour belong together
  bool dashed; // tells them apart
  const histogram *latency;
};

// Latency over percentile, both logarithmic, so that the slowest of many are as wide as all the others.
std::string latency_plot(const std::string &title, const std::string &subtitle, const std::vector<plot_line> &lines);

} // namespace tool
#endif

// Training curves as a chart: lines over steps, the loss on a logarithmic axis.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "braing3n/report/chart.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Curve {
  std::string name;
  std::string colour;                // of SVG: "#0072b2"
  std::vector<Chart::Point> points;  // {step, value}; values that are not positive are left out
};

namespace detail {

/// The points of a curve at most `most` steps apart: neighbours are averaged (geometric mean), so that long runs stay a small file.
inline std::vector<Chart::Point> thinned_curve(const std::vector<Chart::Point>& points, double last, std::size_t most) {
  std::vector<Chart::Point> kept;
  for (const Chart::Point& p : points)
    if (p[1] > 0 && std::isfinite(p[1])) kept.push_back(p);
  if (kept.size() <= most) return kept;
  struct Bin {
    double step = 0, logarithm = 0, count = 0;
  };
  std::vector<Bin> bins(most);
  for (const Chart::Point& p : kept) {
    Bin& b = bins[std::min(most - 1, static_cast<std::size_t>(p[0] / last * static_cast<double>(most)))];
    b.step += p[0], b.logarithm += std::log(p[1]), b.count += 1;
  }
  kept.clear();
  for (const Bin& b : bins)
    if (b.count > 0) kept.push_back({b.step / b.count, std::exp(b.logarithm / b.count)});
  return kept;
}

}  // namespace detail

/// A chart of all curves from step 0 to the last, with a note when there is no value to draw.
inline Chart curve_chart(const std::string& title, const std::vector<Curve>& curves,
                         const std::string& y_label = "loss") {
  double last = 1, low = std::numeric_limits<double>::infinity(), high = 0;
  for (const Curve& c : curves)
    for (const Chart::Point& p : c.points) {
      if (!(p[1] > 0) || !std::isfinite(p[1])) continue;
      last = std::max(last, p[0]), low = std::min(low, p[1]), high = std::max(high, p[1]);
    }
  const bool some = low <= high;
  // A tenth of the height is left free on top for the legend.
  if (some) low *= 0.95, high *= 1.05 * std::pow(high / low, 0.15);
  Chart chart(title, "step", y_label, {0, last}, some ? Chart::Point{low, high} : Chart::Point{0.1, 1});
  chart.logarithmic();
  chart.legend_at_right_top();
  for (const Curve& c : curves) {
    const std::vector<Chart::Point> points = detail::thinned_curve(c.points, last, 250);
    if (points.size() == 1) chart.dot(points[0], c.colour, 2.5);
    chart.line(points, c.colour);
    chart.legend(points.empty() ? c.name + ": nothing to draw yet" : c.name, c.colour);
  }
  return chart;
}

}  // namespace braing3n::inline BRAING3N_ABI

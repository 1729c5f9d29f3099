// Training curves as a picture: lines over steps on a logarithmic scale.
#pragma once

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/volume/image.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Curve {
  std::string name;
  Colour colour{};
  std::vector<std::pair<double, double>> points;  // (step, value); values that are not positive are left out
};

namespace detail {

inline void draw_line(Image& image, double x0, double y0, double x1, double y1, Colour colour) {
  const int steps = std::max(1, static_cast<int>(std::ceil(std::max(std::abs(x1 - x0), std::abs(y1 - y0)))));
  for (int i = 0; i <= steps; ++i) {
    const double t = static_cast<double>(i) / steps;
    image.set(static_cast<Index>(std::lround(x0 + t * (x1 - x0))), static_cast<Index>(std::lround(y0 + t * (y1 - y0))), colour);
  }
}

inline std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace detail

/// Every curve is drawn from its points; one with more points than pixels is averaged pixel by pixel.
inline Image draw_curves(const std::string& title, const std::vector<Curve>& curves, Index width = 720, Index height = 400) {
  constexpr Index left = 70, right = 16, top = 30, bottom = 34;
  const Colour ink = {40, 40, 48}, grid = {222, 224, 230};
  Image image(width, height, {255, 255, 255});
  double last = 1, low = std::numeric_limits<double>::infinity(), high = 0;
  for (const Curve& c : curves)
    for (const auto& [step, value] : c.points) {
      if (!(value > 0) || !std::isfinite(value)) continue;
      last = std::max(last, step);
      low = std::min(low, value);
      high = std::max(high, value);
    }
  draw_text(image, left, 8, title, ink);
  if (!(low <= high)) {
    draw_text(image, left, height / 2, "nothing to draw yet", ink);
    return image;
  }
  low *= 0.95, high *= 1.05;
  const double plot_width = static_cast<double>(width - left - right), plot_height = static_cast<double>(height - top - bottom);
  const auto x_of = [&](double step) { return static_cast<double>(left) + plot_width * step / last; };
  const auto y_of = [&](double value) { return static_cast<double>(top) + plot_height * (std::log(high) - std::log(value)) / (std::log(high) - std::log(low)); };
  for (int i = 0; i <= 4; ++i) {
    const double value = std::exp(std::log(low) + (std::log(high) - std::log(low)) * i / 4.0), step = std::round(last * i / 4.0);
    detail::draw_line(image, static_cast<double>(left), y_of(value), static_cast<double>(width - right), y_of(value), grid);
    draw_text(image, 4, static_cast<Index>(y_of(value)) - 5, detail::short_number(value), ink);
    const std::string label = detail::short_number(step);
    draw_text(image, std::min(width - right - 8 * static_cast<Index>(label.size()), static_cast<Index>(x_of(step))), height - bottom + 8, label, ink);
  }
  Index legend = left + 8 * static_cast<Index>(title.size()) + 24;
  for (const Curve& c : curves) {
    std::vector<std::pair<double, Index>> columns(static_cast<std::size_t>(width), {0.0, 0});  // sums of logarithms, counts
    for (const auto& [step, value] : c.points)
      if (value > 0 && std::isfinite(value)) {
        auto& [sum, count] = columns[static_cast<std::size_t>(std::lround(x_of(step)))];
        sum += std::log(value), ++count;
      }
    bool first = true;
    double x = 0, y = 0;
    for (Index i = 0; i < width; ++i) {
      const auto [sum, count] = columns[static_cast<std::size_t>(i)];
      if (count == 0) continue;
      const double nx = static_cast<double>(i), ny = y_of(std::exp(sum / static_cast<double>(count)));
      for (const double thick : {0.0, 1.0}) detail::draw_line(image, first ? nx : x, (first ? ny : y) + thick, nx, ny + thick, c.colour);
      x = nx, y = ny, first = false;
    }
    draw_text(image, legend, 8, c.name, c.colour);
    legend += 8 * static_cast<Index>(c.name.size()) + 16;
  }
  return image;
}

}  // namespace braing3n::inline BRAING3N_ABI

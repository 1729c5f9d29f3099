// Small charts as inline SVG: one square frame with axes, lines, points and a legend. No script, no external file.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Text inside HTML or SVG.
inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

/// Round numbers that cover [low, high] in about four steps.
inline std::vector<double> axis_ticks(double low, double high) {
  const double span = std::max(high - low, 1e-12), raw = span / 4.0,
               power = std::pow(10.0, std::floor(std::log10(raw))), part = raw / power;
  const double step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  for (double t = std::ceil(low / step - 1e-9) * step; t <= high + 1e-9 * span; t += step)
    ticks.push_back(std::abs(t) < step * 1e-6 ? 0.0 : t);
  return ticks;
}

/// 1, 2 and 5 times powers of ten inside [low, high], both positive; round numbers at equal steps where that leaves fewer than three.
inline std::vector<double> logarithmic_ticks(double low, double high) {
  std::vector<double> ticks;
  for (int power = static_cast<int>(std::floor(std::log10(low)));
       power <= static_cast<int>(std::ceil(std::log10(high))); ++power)
    for (const double part : {1.0, 2.0, 5.0}) {
      if (part > 1 && high / low > 1e3) continue;
      const double t = part * std::pow(10.0, power);
      if (t >= low * (1 - 1e-9) && t <= high * (1 + 1e-9)) ticks.push_back(t);
    }
  return ticks.size() < 3 ? axis_ticks(low, high) : ticks;
}

/// Colours that colour-blind viewers can distinguish (Okabe and Ito).
inline const char* series_colour(std::size_t i) {
  static constexpr std::array colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
  return colours[i % colours.size()];
}

class Chart {
 public:
  using Point = std::array<double, 2>;

  Chart(std::string title, std::string x_label, std::string y_label, Point x_range, Point y_range)
      : title_(std::move(title)), x_label_(std::move(x_label)), y_label_(std::move(y_label)), x_(x_range), y_(y_range) {
  }

  void line(const std::vector<Point>& points, const std::string& colour, bool dashed = false, double width = 1.8) {
    const std::string path = joined(points, " ", [this](const Point& p) { return place(p); });
    body_ += concat("<polyline fill='none' stroke='", colour, "' stroke-width='", width,
                    dashed ? "' stroke-dasharray='4 4" : "", "' points='", path, "'/>");
  }
  void dots(const std::vector<Point>& points, const std::string& colour, double radius, double opacity) {
    body_ += concat("<g fill='", colour, "' fill-opacity='", opacity, "'>");
    for (const Point& p : points)
      body_ +=
          concat("<circle cx='", decimals(x_of(p[0]), 1), "' cy='", decimals(y_of(p[1]), 1), "' r='", radius, "'/>");
    body_ += "</g>";
  }
  void dot(const Point& p, const std::string& colour, double radius) { dots({p}, colour, radius, 0.9); }
  void legend(const std::string& text, const std::string& colour) { legend_.emplace_back(text, colour); }
  /// Where the legend is: at the bottom right (curves that rise early), at the top left or at the top right (curves that fall).
  void legend_at_top() { top_ = true; }
  void legend_at_right_top() { right_top_ = true; }
  /// The vertical axis is logarithmic; its range must be positive.
  void logarithmic() {
    if (!(y_[0] > 0) || !(y_[0] < y_[1]))
      fail(ErrorKind::argument, "chart.logarithmic", "chart: expected 0 < low < high on a logarithmic axis, got ",
           y_[0], " to ", y_[1]);
    logarithmic_ = true;
  }

  /// A file of its own, with what a page's style sheet gives otherwise.
  std::string svg_file() const {
    return concat("<?xml version='1.0' encoding='UTF-8'?>\n<svg xmlns='http://www.w3.org/2000/svg' width='", 2 * width_,
                  "' height='", 2 * height_, "' viewBox='0 0 ", width_, ' ', height_,
                  "'><style>text{font:11px system-ui,'Liberation "
                  "Sans',sans-serif}.tick,.axis{fill:#5b6875}.title{font-weight:600;font-size:12px;fill:#1d2733}"
                  ".grid{stroke:#d9e0e7;stroke-width:.7}.frame{fill:none;stroke:#5b6875;stroke-width:.8}</style><rect "
                  "width='100%' height='100%' fill='#fff'/>",
                  content(), "</svg>\n");
  }
  /// An element of a page.
  std::string svg() const {
    return concat("<svg viewBox='0 0 ", width_, ' ', height_, "' role='img' aria-label='", escaped(title_), "'>",
                  content(), "</svg>");
  }

 private:
  static constexpr double width_ = 300, height_ = 290, left_ = 46, right_ = 10, head_ = 26, foot_ = 38;

  std::string content() const {
    std::string out;
    out += concat("<text class='title' x='", left_, "' y='16'>", escaped(title_), "</text>");
    for (double t : axis_ticks(x_[0], x_[1]))
      out += concat("<line class='grid' x1='", decimals(x_of(t), 1), "' x2='", decimals(x_of(t), 1), "' y1='", head_,
                    "' y2='", height_ - foot_, "'/><text class='tick' x='", decimals(x_of(t), 1), "' y='",
                    height_ - foot_ + 14, "' text-anchor='middle'>", significant(t, 6), "</text>");
    for (double t : logarithmic_ ? logarithmic_ticks(y_[0], y_[1]) : axis_ticks(y_[0], y_[1]))
      out += concat("<line class='grid' x1='", left_, "' x2='", width_ - right_, "' y1='", decimals(y_of(t), 1),
                    "' y2='", decimals(y_of(t), 1), "'/><text class='tick' x='", left_ - 5, "' y='",
                    decimals(y_of(t) + 3.5, 1), "' text-anchor='end'>", significant(t, 6), "</text>");
    out += concat("<rect class='frame' x='", left_, "' y='", head_, "' width='", width_ - right_ - left_, "' height='",
                  height_ - foot_ - head_, "'/>");
    out += body_;
    out += concat("<text class='axis' x='", (left_ + width_ - right_) / 2, "' y='", height_ - 6,
                  "' text-anchor='middle'>", escaped(x_label_), "</text>");
    out += concat("<text class='axis' transform='translate(12 ", (head_ + height_ - foot_) / 2,
                  ") rotate(-90)' text-anchor='middle'>", escaped(y_label_), "</text>");
    const double first =
        top_ || right_top_ ? head_ + 14 : height_ - foot_ - 8 - 14 * (static_cast<double>(legend_.size()) - 1);
    for (std::size_t i = 0; i < legend_.size(); ++i) {
      const double y = first + 14 * static_cast<double>(i), x = top_ ? left_ + 10 : width_ - right_ - 8;
      out += concat("<text class='legend' fill='", legend_[i].second, "' x='", x, "' y='", y,
                    top_ ? "'>" : "' text-anchor='end'>", escaped(legend_[i].first), "</text>");
    }
    return out;
  }

  double x_of(double v) const {
    return left_ + (std::clamp(v, x_[0], x_[1]) - x_[0]) / (x_[1] - x_[0]) * (width_ - right_ - left_);
  }
  double y_of(double v) const {
    const double inside = std::clamp(v, y_[0], y_[1]);
    const double share =
        logarithmic_ ? std::log(inside / y_[0]) / std::log(y_[1] / y_[0]) : (inside - y_[0]) / (y_[1] - y_[0]);
    return height_ - foot_ - share * (height_ - foot_ - head_);
  }
  std::string place(const Point& p) const { return decimals(x_of(p[0]), 1) + "," + decimals(y_of(p[1]), 1); }

  std::string title_, x_label_, y_label_, body_;
  Point x_, y_;
  std::vector<std::pair<std::string, std::string>> legend_;
  bool top_ = false, right_top_ = false, logarithmic_ = false;
};

}  // namespace braing3n::inline BRAING3N_ABI

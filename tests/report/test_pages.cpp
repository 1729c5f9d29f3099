// Tables for the terminal, charts and pages.
#include <doctest/doctest.h>

#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/report/curves.hpp"
#include "braing3n/report/html_page.hpp"
#include "braing3n/report/table.hpp"

using namespace braing3n;

namespace {

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// Numbers of the n-th polyline: x0, y0, x1, y1, ...
std::vector<double> polyline(const std::string& svg, std::size_t n) {
  std::size_t at = 0;
  for (std::size_t i = 0; i <= n; ++i) at = svg.find("points='", at) + 8;
  std::string text = svg.substr(at, svg.find('\'', at) - at);
  for (char& c : text)
    if (c == ',') c = ' ';
  std::istringstream in(text);
  std::vector<double> out;
  for (double v = 0; in >> v;) out.push_back(v);
  return out;
}

}  // namespace

TEST_CASE("table: texts left, numbers right") {
  Table table({"name", "count", "note"});
  CHECK(table.empty());
  table.row("é", with_commas(1234567), "a1");
  table.row("longer", 7, "");
  std::ostringstream out;
  table.print(out);
  CHECK(out.str() == "name        count  note\n-----------------------\né       1,234,567  a1\nlonger          7\n");
}

TEST_CASE("curves: a loss that falls a thousandfold is a straight line over its powers of ten") {
  Curve curve{"a", "#ff0000", {}};
  for (int i = 0; i <= 2000; ++i) curve.points.push_back({static_cast<double>(i), std::pow(10.0, -3.0 * i / 2000.0)});
  const std::string svg = curve_chart("loss", {curve}).svg();
  const std::vector<double> line = polyline(svg, 0);
  REQUIRE(line.size() == 500);  // 250 points
  for (std::size_t i = 2; i + 2 < line.size(); i += 2) {
    CHECK(line[i] > line[i - 2]);
    CHECK(line[i + 1] - line[i - 1] == doctest::Approx((line.back() - line[1]) / 249).epsilon(0.2));
  }
  for (const char* tick : {">1<", ">0.1<", ">0.01<", ">0.001<"}) CHECK(times(svg, tick) == 1);
}

TEST_CASE("curves: values that have no logarithm are left out, a curve without values says so") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::string svg =
      curve_chart("x < y", {{"training", "#000000", {{1, 0.5}, {2, nan}, {3, -1}, {4, 0}, {5, inf}, {6, 0.25}}},
                            {"validation", "#111111", {}}})
          .svg();
  CHECK(polyline(svg, 0).size() == 4);
  CHECK(polyline(svg, 1).empty());
  CHECK(times(svg, "validation: nothing to draw yet") == 1);
  CHECK(times(svg, "x &lt; y") == 2);
  CHECK(times(svg, "nan") + times(svg, "inf") == 0);
  const std::string empty = curve_chart("nothing", {}).svg_file();
  CHECK(empty.starts_with("<?xml"));
  CHECK(times(empty, "<svg ") == 1);
  CHECK(times(empty, "xmlns='http://www.w3.org/2000/svg'") == 1);
  CHECK(times(empty, "</svg>") == 1);
  const std::string one = curve_chart("one", {{"a", "#000000", {{1, 0.5}}}}).svg();
  CHECK(times(one, "<circle") == 1);
}

TEST_CASE("a logarithmic axis needs a positive range") {
  Chart chart("t", "x", "y", {0, 1}, {0, 1});
  CHECK_THROWS_AS(chart.logarithmic(), Error);
}

TEST_CASE("pages: text is escaped, pictures are embedded") {
  HtmlPage page("a & b", "c < d");
  page.table({"name", "n"}, {{"<script>", "!3"}});
  page.picture("abcd", "it's");
  const std::string html = page.finish("end");
  CHECK(times(html, "<script>") == 0);
  CHECK(times(html, "<td>&lt;script&gt;</td><td class='marked'>3</td>") == 1);
  CHECK(times(html, "base64,YWJjZA==") == 1);
  CHECK(times(html, "it&#39;s") == 2);
  CHECK(times(html, "<h1>a &amp; b</h1>") == 1);
}

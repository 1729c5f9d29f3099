// Surfaces by ray casting: sizes, shading, where the patient's left is, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "braing3n/report/brain_page.hpp"
#include "braing3n/volume/preprocess.hpp"

using namespace braing3n;

namespace {

/// 1 inside a ball of `radius` mm around the middle of the grid, falling to 0 over 2 mm.
Volume ball(const Extent3& shape, const Vec3& voxel, double radius) {
  Affine affine = scaling(voxel);
  for (int d = 0; d < 3; ++d)
    affine(d, 3) =
        -0.5 * voxel[static_cast<std::size_t>(d)] * static_cast<double>(shape[static_cast<std::size_t>(d)] - 1);
  Volume v(Grid{shape, affine});
  for (Index i = 0; i < v.size(); ++i) {
    const Vec3 p = affine * Vec3{static_cast<double>(i / (shape[1] * shape[2])),
                                 static_cast<double>(i / shape[2] % shape[1]), static_cast<double>(i % shape[2])};
    const double r = std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
    v.data()[i] = static_cast<float>(std::clamp(0.5 + 0.5 * (radius - r), 0.0, 1.0));
  }
  return v;
}

/// Pixels that are not background, in pixels; those on the edge count by half.
struct Silhouette {
  double area = 0, x = 0, y = 0;
  Index left = 1 << 20, right = -1, top = 1 << 20, bottom = -1;
};
Silhouette silhouette(const Image& image, const Colour& background) {
  Silhouette s;
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) {
      const std::uint8_t* p = image.at(x, y);
      if (p[0] == background[0] && p[1] == background[1] && p[2] == background[2]) continue;
      s.area += 1, s.x += static_cast<double>(x), s.y += static_cast<double>(y);
      s.left = std::min(s.left, x), s.right = std::max(s.right, x);
      s.top = std::min(s.top, y), s.bottom = std::max(s.bottom, y);
    }
  if (s.area > 0) s.x /= s.area, s.y /= s.area;
  return s;
}

constexpr double pi = 3.14159265358979323846;

}  // namespace

TEST_CASE("surface: a ball is as large as it is, bright in the middle, and its own mirror image") {
  Context<Cpu> ctx({.threads = 2});
  const Volume scan = ball({60, 60, 60}, {1, 1, 1}, 24);
  for (const Colour background : {Colour{255, 255, 255}, Colour{0, 0, 60}})
    for (std::size_t side = 0; side < surface_side_names.size(); ++side) {
      SurfaceOptions options;
      options.side = static_cast<SurfaceSide>(side), options.width = options.height = 160;
      options.mm_per_pixel = 0.4, options.background = background;
      const Image image = draw_surface(ctx, scan, options, 0.5f);
      const Silhouette s = silhouette(image, background);
      const double expected = pi * 24 * 24 / (0.4 * 0.4);
      CHECK(s.area == doctest::Approx(expected).epsilon(0.02));
      CHECK(s.x == doctest::Approx(79.5).epsilon(0.005));
      CHECK(s.y == doctest::Approx(79.5).epsilon(0.005));
      CHECK(*image.at(80, 80) > 170);
      CHECK(*image.at(80, 80) > *image.at(80, 130) + 40);  // light comes from above the viewer
      CHECK(*image.at(80, 60) > *image.at(80, 100));
      Index unlike = 0;
      for (Index y = 0; y < 160; ++y)
        for (Index x = 0; x < 80; ++x) unlike += std::abs(*image.at(x, y) - *image.at(159 - x, y)) > 12;
      CHECK(unlike < 100);  // of 12800; the rays within an edge pixel lie on one of its diagonals first
    }
}

TEST_CASE("surface: rays end on the surface, far below a step from it") {
  Context<Cpu> ctx({.threads = 1});
  const Surface surface(ctx, ball({60, 60, 60}, {1, 1, 1}, 24), 0.5f, 0);
  const detail::SurfaceTracer tracer(surface, detail::SurfaceCamera(SurfaceSide::superior));
  for (int i = 0; i < 12; ++i) {
    const double x = 0.31 * i, y = 0.17 * i;
    const auto hit = tracer.trace(x, y);
    REQUIRE(hit);
    const double height = static_cast<double>((*hit)[2]) - 1 - 29.5;  // the border of one voxel, the middle of the grid
    CHECK(height == doctest::Approx(std::sqrt(24.0 * 24 - x * x - y * y)).epsilon(0.002));  // 0.05 mm; a step has 0.5
  }
}

TEST_CASE("surface: without a scale the body fills the picture, whatever surrounds it") {
  Context<Cpu> ctx({.threads = 2});
  SurfaceOptions options;
  options.width = 120, options.height = 80;
  for (const Index n : {56, 90}) {
    const Silhouette s =
        silhouette(draw_surface(ctx, ball({n, n, n}, {1, 1, 1}, 24), options, 0.5f), options.background);
    CHECK(s.bottom - s.top + 1 >= 76);
    CHECK(s.bottom - s.top + 1 <= 80);
    CHECK(std::abs((s.right - s.left) - (s.bottom - s.top)) <= 1);
  }
}

TEST_CASE("surface: millimetres, not voxels") {
  Context<Cpu> ctx({.threads = 2});
  const Volume scan = ball({60, 30, 20}, {1, 2, 3}, 24);
  for (const SurfaceSide side : {SurfaceSide::left, SurfaceSide::anterior, SurfaceSide::superior}) {
    SurfaceOptions options;
    options.side = side, options.width = options.height = 140, options.mm_per_pixel = 0.5;
    const Silhouette s = silhouette(draw_surface(ctx, scan, options, 0.5f), options.background);
    CHECK(std::abs(static_cast<double>(s.right - s.left + 1) - 96) <= 2);
    CHECK(std::abs(static_cast<double>(s.bottom - s.top + 1) - 96) <= 2);
    CHECK(s.area == doctest::Approx(pi * 48 * 48).epsilon(0.03));
  }
}

TEST_CASE("surface: the patient's left, front and top are where the side says, however the scan is stored") {
  Context<Cpu> ctx({.threads = 2});
  // A ball, and a smaller one to the left of it, in front and on top; the right side of the picture and its top are positive.
  Volume ras = ball({48, 48, 48}, {1, 1, 1}, 10);
  const Volume small = ball({48, 48, 48}, {1, 1, 1}, 5);
  for (Index i = 0; i < 48 - 14; ++i)
    for (Index j = 12; j < 48; ++j)
      for (Index k = 13; k < 48; ++k)
        ras.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k)) =
            std::max(ras.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k)),
                     small.values(static_cast<std::size_t>(i + 14), static_cast<std::size_t>(j - 12),
                                  static_cast<std::size_t>(k - 13)));
  struct Expected {
    SurfaceSide side;
    int right, up;
  };
  // left: the front is on the left of the picture; from the front and from below the patient's left is on the right.
  constexpr Expected all[] = {{SurfaceSide::left, -1, 1},     {SurfaceSide::right, 1, 1},
                              {SurfaceSide::anterior, 1, 1},  {SurfaceSide::posterior, -1, 1},
                              {SurfaceSide::superior, -1, 1}, {SurfaceSide::inferior, 1, 1}};
  for (const Expected& e : all) {
    SurfaceOptions options;
    options.side = e.side, options.width = options.height = 64, options.mm_per_pixel = 0.8;
    const Image first = draw_surface(ctx, ras, options, 0.5f);
    // The picture's middle is the middle of the box around both; the large ball's half holds most of the area.
    const Silhouette s = silhouette(first, options.background);
    CHECK((s.x - 31.5) * e.right < -1);
    CHECK((s.y - 31.5) * e.up > 1);
    for (const char* code : {"LPS", "PIR", "SAL", "ASR", "IPL"}) {
      const Image other = draw_surface(ctx, reorient(ctx, ras, parse_orientation(code)), options, 0.5f);
      Index unlike = 0;
      for (std::size_t i = 0; i < first.pixels.size(); ++i)
        unlike += std::abs(static_cast<int>(first.pixels[i]) - static_cast<int>(other.pixels[i])) > 4;
      CHECK_MESSAGE(unlike < 60, code);
    }
  }
  // Of two notches, the viewer sees only the one on the side named.
  Volume marked = ball({48, 48, 48}, {1, 1, 1}, 20);
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 20; j < 28; ++j)
      for (std::size_t k = 20; k < 28; ++k) marked.values(i, j, k) = 0;
  for (const char* code : {"RAS", "LPS", "PIR"}) {
    const Volume stored = reorient(ctx, marked, parse_orientation(code));
    const auto middle = [&](SurfaceSide side) {
      SurfaceOptions options;
      options.side = side, options.width = options.height = 64;
      return static_cast<int>(*draw_surface(ctx, stored, options, 0.5f).at(32, 32));
    };
    CHECK(middle(SurfaceSide::left) < middle(SurfaceSide::right) - 40);
  }
}

TEST_CASE("surface: one thread and three give the same bytes") {
  Context<Cpu> one({.threads = 1}), three({.threads = 3});
  Volume scan = ball({50, 44, 40}, {1, 1.1, 1.3}, 20);
  for (Index i = 0; i < scan.size(); ++i) scan.data()[i] *= 1 + 0.3f * std::sin(0.01f * static_cast<float>(i));
  SurfaceOptions options;
  options.side = SurfaceSide::oblique;
  CHECK(draw_surface(one, scan, options).pixels == draw_surface(three, scan, options).pixels);
}

TEST_CASE("surface: a body that touches the edge of its volume is closed there; NaN is background") {
  Context<Cpu> ctx({.threads = 2});
  Volume box(Grid{{20, 20, 20}, scaling({2, 2, 2})});
  std::fill(box.data(), box.data() + box.size(), 5.0f);
  SurfaceOptions options;
  options.width = options.height = 80, options.mm_per_pixel = 1;
  const Silhouette s = silhouette(draw_surface(ctx, box, options), options.background);
  CHECK(std::abs(s.right - s.left - 40) <= 3);
  CHECK(std::abs(s.bottom - s.top - 40) <= 3);
  Volume holes = ball({40, 40, 40}, {1, 1, 1}, 15);
  const Image whole = draw_surface(ctx, holes, options, 0.5f);
  holes.values(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
  holes.values(39, 0, 39) = std::numeric_limits<float>::infinity();
  CHECK(draw_surface(ctx, holes, options, 0.5f).pixels == whole.pixels);
}

TEST_CASE("surface: the default threshold lies between fluid and cortex, of z-scores too") {
  Context<Cpu> ctx({.threads = 2});
  Volume scan = ball({48, 48, 48}, {1, 1, 1}, 20);
  const Volume inner = ball({48, 48, 48}, {1, 1, 1}, 14);
  for (Index i = 0; i < scan.size(); ++i) scan.data()[i] = 200 * scan.data()[i] + 600 * inner.data()[i];
  CHECK(surface_threshold(ctx, scan) == doctest::Approx(0.45 * 800).epsilon(0.01));
  const double radius = 14 + 2 * (0.5 - (360.0 - 200) / 600), edge = pi * radius * radius / 0.25;
  SurfaceOptions options;
  options.width = options.height = 100, options.mm_per_pixel = 0.5;
  CHECK(silhouette(draw_surface(ctx, scan, options), options.background).area == doctest::Approx(edge).epsilon(0.04));
  for (Index i = 0; i < scan.size(); ++i) scan.data()[i] = scan.data()[i] / 100 - 3;
  CHECK(surface_threshold(ctx, scan) == doctest::Approx(0.45 * 8 - 3).epsilon(0.01));
  CHECK(silhouette(draw_surface(ctx, scan, options), options.background).area == doctest::Approx(edge).epsilon(0.04));
}

TEST_CASE("surface: what cannot be drawn is refused with a reason") {
  Context<Cpu> ctx({.threads = 1});
  const auto id = [](auto&& f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.id());
    }
    return std::string();
  };
  Volume scan = ball({20, 20, 20}, {1, 1, 1}, 8);
  CHECK(id([&] { draw_surface(ctx, Volume()); }) == "surface.empty");
  CHECK(id([&] { draw_surface(ctx, scan, {}, 1.0f); }) == "surface.threshold");
  CHECK(id([&] { draw_surface(ctx, scan, {}, std::numeric_limits<float>::quiet_NaN()); }) == "surface.threshold");
  for (const auto& [w, h] : {std::pair<Index, Index>{7, 100}, {100, 0}, {-5, 100}, {100, 8193}}) {
    SurfaceOptions options;
    options.width = w, options.height = h;
    CHECK(id([&] { draw_surface(ctx, scan, options); }) == "surface.size");
  }
  SurfaceOptions options;
  options.mm_per_pixel = -1;
  CHECK(id([&] { draw_surface(ctx, scan, options); }) == "surface.scale");
  Volume flat = scan;
  flat.affine = scaling({1, 1, 0});
  CHECK(id([&] { draw_surface(ctx, flat); }) == "affine.singular");
  std::fill(scan.data(), scan.data() + scan.size(), 0.0f);
  CHECK(id([&] { draw_surface(ctx, scan); }) == "surface.threshold");
}

TEST_CASE("brain page: planes and surfaces at one scale, a row for each volume") {
  Context<Cpu> ctx({.threads = 2});
  const Volume scan = ball({40, 50, 45}, {1, 1, 1}, 16);
  const Image row = brain_row(ctx, scan);
  CHECK(row.height == 50);
  CHECK(row.width == 40 + 2 + 40 + 2 + 50 + 2 * (2 + 50));
  const auto extent = [&](Index from, Index to) {  // columns that are not black, in the middle line
    Index n = 0;
    for (Index x = from; x < to; ++x) n += *row.at(x, row.height / 2) > 60;
    return n;
  };
  CHECK(std::abs(extent(6, 34) - 28) <= 1);
  CHECK(std::abs(extent(136, 186) - 32) <= 2);
  CHECK(std::abs(extent(188, 238) - 32) <= 2);
  Volume nothing(scan.grid());
  std::fill(nothing.data(), nothing.data() + nothing.size(), 0.0f);
  const Image page = brain_page(ctx, {scan, nothing}, {"a ball", "nothing"});
  CHECK(page.width == row.width + 8);
  CHECK(page.height > 2 * row.height);
  CHECK_THROWS_AS(brain_page(ctx, {scan}, {"one", "two"}), Error);
}

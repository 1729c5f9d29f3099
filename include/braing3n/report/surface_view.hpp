// A shaded picture of a brain from outside, by ray casting.
//
// Parallel rays through the world, in mm, so orientation and voxel size are those of the scan. A ray advances by half
// a voxel through blocks that hold tissue and finds the crossing by bisection. Light comes from above the viewer (Lambert, and a
// weak specular term). Ambient occlusion darkens points whose hemisphere is partly covered by tissue, which makes sulci visible.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "braing3n/report/image.hpp"
#include "braing3n/report/surface.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The position of the viewer. Seen from the left the nose points to the left, from the front the patient's left is on the right, from above
/// the nose points up and the patient's left is on the left, from below it is on the right. Oblique: from the left, in front, above.
enum class SurfaceSide { left, right, anterior, posterior, superior, inferior, oblique };
inline constexpr std::array<std::string_view, 7> surface_side_names = {"left",     "right",    "anterior", "posterior",
                                                                       "superior", "inferior", "oblique"};

struct SurfaceOptions {
  SurfaceSide side = SurfaceSide::left;
  Index width = 400, height = 400;  // 8 to 8192 pixels
  double mm_per_pixel = 0;          // 0: the sphere around the body fills the picture
  Colour background = {255, 255, 255};
  Colour tissue = {240, 218, 206};
};

namespace detail {

using Vec3f = std::array<float, 3>;
inline float dot(const Vec3f& a, const Vec3f& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
inline Vec3 unit(const Vec3& a) {
  const double length = std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
  return {a[0] / length, a[1] / length, a[2] / length};
}
inline Vec3f single(const Vec3& a) {
  return {static_cast<float>(a[0]), static_cast<float>(a[1]), static_cast<float>(a[2])};
}

/// Whether two positions are more than two voxels from each other along an axis.
inline bool apart(const Vec3f& a, const Vec3f& b) {
  return std::max({std::abs(a[0] - b[0]), std::abs(a[1] - b[1]), std::abs(a[2] - b[2])}) > 2.0f;
}

/// Directions of the picture in the world.
struct SurfaceCamera {
  Vec3 right{}, up{}, back{};  // back: from the brain to the viewer
  explicit SurfaceCamera(SurfaceSide side) {
    constexpr std::array<Vec3, 7> from = {
        {{-1, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, -1, 0}, {0, 0, 1}, {0, 0, -1}, {-1, 0.9, 0.7}}};
    back = unit(from[static_cast<std::size_t>(side)]);
    const bool vertical = std::abs(back[2]) > 0.9;
    right = unit(cross(vertical ? Vec3{0, 1, 0} : Vec3{0, 0, 1}, back));
    up = cross(back, right);
  }
};

/// The 26 directions of a cube's neighbours, each with a length of 1.
inline std::array<Vec3, 26> sky_directions() {
  std::array<Vec3, 26> all{};
  std::size_t n = 0;
  for (int x = -1; x <= 1; ++x)
    for (int y = -1; y <= 1; ++y)
      for (int z = -1; z <= 1; ++z)
        if (x != 0 || y != 0 || z != 0)
          all[n++] = unit({static_cast<double>(x), static_cast<double>(y), static_cast<double>(z)});
  return all;
}

/// Rays through one surface from one side.
class SurfaceTracer {
 public:
  SurfaceTracer(const Surface& surface, const SurfaceCamera& camera) : s_(surface), camera_(camera) {
    into_ = turned({-camera.back[0], -camera.back[1], -camera.back[2]});
    light_ = single(unit({0, 0.55, 0.85}));
    half_ = single(unit({0, 0.55, 0.85 + std::sqrt(0.55 * 0.55 + 0.85 * 0.85)}));
    const std::array<Vec3, 26> sky = sky_directions();
    for (std::size_t i = 0; i < sky.size(); ++i) sky_[i] = single(sky[i]), sky_voxel_[i] = turned(sky[i]);
  }

  /// Where the ray through this point of the picture (mm from its middle) meets the surface, as an index.
  std::optional<Vec3f> trace(double x, double y) const {
    const double far = s_.radius() + 4 * s_.step();
    Vec3 start = s_.centre();
    for (std::size_t d = 0; d < 3; ++d) start[d] += x * camera_.right[d] + y * camera_.up[d] + far * camera_.back[d];
    const Vec3f origin = single(s_.to_voxel() * start);
    float t = 0, end = static_cast<float>(2 * far);
    for (std::size_t d = 0; d < 3; ++d) {  // the part of the ray inside the values
      const float last = static_cast<float>(s_.shape()[d] - 1);
      if (std::abs(into_[d]) < 1e-7f) {
        if (origin[d] < 0 || origin[d] > last) return {};
        continue;
      }
      const float a = -origin[d] / into_[d], b = (last - origin[d]) / into_[d];
      t = std::max(t, std::min(a, b)), end = std::min(end, std::max(a, b));
    }
    const float step = static_cast<float>(s_.step());
    float outside = t;
    while (t <= end) {
      const Vec3f p = on(origin, t);
      if (const float leave = block_exit(p); leave > 0) {
        t += leave + 1e-3f * step;
        outside = t;
        continue;
      }
      if (s_.at(p) > s_.threshold()) return crossing(origin, outside, t);
      outside = t;
      t += step;
    }
    return {};
  }

  /// Outwards, of length 1; where the values have no slope, to the viewer.
  Vec3 normal(const Vec3f& p) const {
    Vec3f slope{};  // of the values by index, then by mm: the transposed map
    for (std::size_t d = 0; d < 3; ++d) {
      Vec3f a = p, b = p;
      a[d] -= 1, b[d] += 1;
      slope[d] = s_.at(a) - s_.at(b);
    }
    Vec3 n{};
    for (int c = 0; c < 3; ++c)
      for (int r = 0; r < 3; ++r)
        n[static_cast<std::size_t>(c)] += s_.to_voxel()(r, c) * static_cast<double>(slope[static_cast<std::size_t>(r)]);
    return n[0] != 0 || n[1] != 0 || n[2] != 0 ? unit(n) : camera_.back;
  }

  /// Diffuse (0 to 1) and specular brightness of a point with this normal, without occlusion.
  std::array<float, 2> light(const Vec3& n) const {
    const Vec3f m = single(n);
    const Vec3f seen = {dot(m, single(camera_.right)), dot(m, single(camera_.up)), dot(m, single(camera_.back))};
    return {0.35f + 0.65f * std::max(0.0f, (dot(seen, light_) + 0.3f) / 1.3f),
            0.12f * std::pow(std::max(0.0f, dot(seen, half_)), 24.0f)};
  }

  /// Ambient light: the share of the hemisphere over a point that tissue within some mm leaves free, weighted by the cosine and by nearness.
  float openness(const Vec3f& p, const Vec3f& n) const {
    constexpr std::array<float, 4> reach = {1.5f, 3.0f, 5.5f, 9.0f}, strength = {1.0f, 0.9f, 0.7f, 0.45f};
    float free = 0, all = 0;
    for (std::size_t i = 0; i < sky_.size(); ++i) {
      const float weight = dot(n, sky_[i]);
      if (!(weight > 0.1f)) continue;
      float hidden = 0;
      for (std::size_t k = 0; k < reach.size() && hidden < strength[k]; ++k) {
        const Vec3f q = {p[0] + reach[k] * sky_voxel_[i][0], p[1] + reach[k] * sky_voxel_[i][1],
                         p[2] + reach[k] * sky_voxel_[i][2]};
        if (s_.at(q) > s_.threshold()) hidden = strength[k];
      }
      free += weight * (1 - hidden);
      all += weight;
    }
    return all > 0 ? 0.15f + 0.85f * free / all : 1.0f;
  }

 private:
  /// A world direction as a difference of indices, per mm.
  Vec3f turned(const Vec3& v) const {
    Vec3f out{};
    for (int r = 0; r < 3; ++r)
      out[static_cast<std::size_t>(r)] =
          static_cast<float>(s_.to_voxel()(r, 0) * v[0] + s_.to_voxel()(r, 1) * v[1] + s_.to_voxel()(r, 2) * v[2]);
    return out;
  }
  Vec3f on(const Vec3f& origin, float t) const {
    return {origin[0] + t * into_[0], origin[1] + t * into_[1], origin[2] + t * into_[2]};
  }

  /// mm to the end of the block around a position when it holds no tissue, else 0.
  float block_exit(const Vec3f& p) const {
    std::array<Index, 3> b{};
    for (std::size_t d = 0; d < 3; ++d)
      b[d] = std::clamp<Index>(static_cast<Index>(p[d]), 0, s_.shape()[d] - 2) / Surface::block;
    if (!s_.empty(b)) return 0;
    float leave = static_cast<float>(4 * s_.radius());
    for (std::size_t d = 0; d < 3; ++d) {
      if (std::abs(into_[d]) < 1e-7f) continue;
      const float wall = static_cast<float>((b[d] + (into_[d] > 0 ? 1 : 0)) * Surface::block);
      leave = std::min(leave, std::max(0.0f, (wall - p[d]) / into_[d]));
    }
    return std::max(leave, 1e-3f * static_cast<float>(s_.step()));
  }

  Vec3f crossing(const Vec3f& origin, float outside, float inside) const {
    for (int i = 0; i < 6; ++i) {
      const float middle = 0.5f * (outside + inside);
      (s_.at(on(origin, middle)) > s_.threshold() ? inside : outside) = middle;
    }
    return on(origin, 0.5f * (outside + inside));
  }

  const Surface& s_;
  SurfaceCamera camera_;
  Vec3f into_{}, light_{}, half_{};  // the light and its half vector as (right, up, back)
  std::array<Vec3f, 26> sky_{}, sky_voxel_{};
};

}  // namespace detail

namespace detail {

/// One pixel from four rays in it; from two on its diagonal where both miss or both end on the same piece of surface.
inline Colour surface_pixel(const SurfaceTracer& tracer, const SurfaceOptions& options, double x, double y, double mm) {
  constexpr std::array<std::array<double, 2>, 4> places = {
      {{-0.25, 0.25}, {0.25, -0.25}, {0.25, 0.25}, {-0.25, -0.25}}};
  std::array<float, 3> sum{};
  std::optional<Vec3f> last;
  float open = 0, rays = 0;
  bool edge = false;
  for (const auto& place : places) {
    if (rays == 2 && !edge) break;
    const auto hit = tracer.trace(x + mm * place[0], y + mm * place[1]);
    std::array<float, 2> light{};
    if (rays > 0) edge = edge || hit.has_value() != last.has_value() || (hit && apart(*hit, *last));
    if (hit) {
      const Vec3 normal = tracer.normal(*hit);
      // Ambient light is computed again only where the ray ends elsewhere: it is the most expensive part.
      if (!last || apart(*hit, *last)) open = tracer.openness(*hit, single(normal));
      light = tracer.light(normal);
      last = hit;
    }
    for (std::size_t c = 0; c < 3; ++c)
      sum[c] += hit ? std::min(255.0f, open * (static_cast<float>(options.tissue[c]) * light[0] + 255 * light[1]))
                    : static_cast<float>(options.background[c]);
    rays += 1;
  }
  Colour out{};
  for (std::size_t c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>(std::lround(sum[c] / rays));
  return out;
}

}  // namespace detail

/// A surface from one side. The bytes do not depend on the number of threads. Throws Error (argument) for a size out of range.
inline Image draw_surface(Context<Cpu>& ctx, const Surface& surface, const SurfaceOptions& options = {}) {
  const Index w = options.width, h = options.height;
  if (std::min(w, h) < 8 || std::max(w, h) > 8192)
    fail(ErrorKind::argument, "surface.size", "surface: expected 8 to 8192 pixels in each direction, got ", w, " x ",
         h);
  if (!(options.mm_per_pixel >= 0) || !std::isfinite(options.mm_per_pixel))
    fail(ErrorKind::argument, "surface.scale", "surface: expected 0 or more mm per pixel, got ", options.mm_per_pixel);
  const double mm =
      options.mm_per_pixel > 0 ? options.mm_per_pixel : 2.04 * surface.radius() / static_cast<double>(std::min(w, h));
  const detail::SurfaceTracer tracer(surface, detail::SurfaceCamera(options.side));
  Image image(w, h, options.background);
  ctx.parallel(h, [&](Index row) {
    const double y = mm * (0.5 * static_cast<double>(h - 1) - static_cast<double>(row));
    for (Index column = 0; column < w; ++column) {
      const double x = mm * (static_cast<double>(column) - 0.5 * static_cast<double>(w - 1));
      image.set(column, row, detail::surface_pixel(tracer, options, x, y, mm));
    }
  });
  return image;
}

/// The same of a volume: see Surface for the threshold and for what is refused.
inline Image draw_surface(Context<Cpu>& ctx, const Volume& volume, const SurfaceOptions& options = {},
                          std::optional<float> threshold = {}) {
  return draw_surface(ctx, Surface(ctx, volume, threshold), options);
}

}  // namespace braing3n::inline BRAING3N_ABI

// Every orientation x every kind of geometry in the header x every element type: where voxels lie and what they hold,
// against positions computed here from quaternions, zooms and shears, by nothing of the library.
#include <doctest/doctest.h>

#include <cmath>

#include "braing3n/volume/nifti/read.hpp"
#include "braing3n/volume/preprocess.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;
using braing3n::test::NiftiBytes;

namespace {

using Matrix = std::array<std::array<double, 4>, 3>;

enum class Kind { sform_only, qform_only, both, disagreeing, oblique, oblique_qform, sheared, anisotropic };
constexpr std::array kinds{Kind::sform_only, Kind::qform_only,    Kind::both,    Kind::disagreeing,
                           Kind::oblique,    Kind::oblique_qform, Kind::sheared, Kind::anisotropic};

struct Case {
  NiftiBytes file;
  Matrix world;  // expected: voxel index -> mm
  bool sheared = false;
  double tolerance = 1e-4;
};

std::array<double, 3> at(const Matrix& m, double i, double j, double k) {
  std::array<double, 3> p{};
  for (std::size_t r = 0; r < 3; ++r) p[r] = m[r][0] * i + m[r][1] * j + m[r][2] * k + m[r][3];
  return p;
}

/// The unit quaternion (a, b, c, d) of a rotation matrix, by the largest of its four components (any textbook).
std::array<double, 4> quaternion_of(const std::array<std::array<double, 3>, 3>& r) {
  const double t[4] = {1 + r[0][0] + r[1][1] + r[2][2], 1 + r[0][0] - r[1][1] - r[2][2],
                       1 - r[0][0] + r[1][1] - r[2][2], 1 - r[0][0] - r[1][1] + r[2][2]};
  int best = 0;
  for (int i = 1; i < 4; ++i)
    if (t[i] > t[best]) best = i;
  const double s = 0.5 / std::sqrt(t[best]);
  std::array<double, 4> q{};
  if (best == 0) q = {t[0] * s, (r[2][1] - r[1][2]) * s, (r[0][2] - r[2][0]) * s, (r[1][0] - r[0][1]) * s};
  if (best == 1) q = {(r[2][1] - r[1][2]) * s, t[1] * s, (r[0][1] + r[1][0]) * s, (r[0][2] + r[2][0]) * s};
  if (best == 2) q = {(r[0][2] - r[2][0]) * s, (r[0][1] + r[1][0]) * s, t[2] * s, (r[1][2] + r[2][1]) * s};
  if (best == 3) q = {(r[1][0] - r[0][1]) * s, (r[0][2] + r[2][0]) * s, (r[1][2] + r[2][1]) * s, t[3] * s};
  if (q[0] < 0)
    for (double& v : q) v = -v;
  return q;
}

Case make_case(const Orientation& o, Kind kind, int datatype, int bits, int version, bool big_endian) {
  Case c;
  std::array<double, 3> mm{2, 2, 2};
  if (kind != Kind::sform_only && kind != Kind::both) mm = {1.5, 2, 2.75};
  double angle_z = 0, angle_x = 0;
  if (kind == Kind::oblique || kind == Kind::oblique_qform) angle_z = 0.3, angle_x = 0.2;
  // Voxel axis a runs along world axis o.axis[a]; then the whole scan is turned in the world.
  std::array<std::array<double, 3>, 3> direction{};
  for (std::size_t a = 0; a < 3; ++a) direction[static_cast<std::size_t>(o.axis[a])][a] = o.sign[a];
  const double cz = std::cos(angle_z), sz = std::sin(angle_z), cx = std::cos(angle_x), sx = std::sin(angle_x);
  const double turn[3][3] = {{cz, -sz, 0}, {cx * sz, cx * cz, -sx}, {sx * sz, sx * cz, cx}};
  std::array<std::array<double, 3>, 3> rotation{};
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t k = 0; k < 3; ++k) rotation[r][a] += turn[r][k] * direction[k][a];
  const std::array<double, 3> origin{-12.5, 33.25, 7};
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t a = 0; a < 3; ++a) c.world[r][a] = rotation[r][a] * mm[a];
    c.world[r][3] = origin[r];
  }
  if (kind == Kind::sheared) {
    for (std::size_t r = 0; r < 3; ++r) c.world[r][1] += 0.15 * c.world[r][0];
    c.sheared = true;
  }

  NiftiBytes& f = c.file;
  f.version = version;
  f.big_endian = big_endian;
  f.dim = {3, 6, 7, 5, 1, 1, 1, 1};
  f.datatype = datatype;
  f.bitpix = bits;
  f.pixdim = {1, mm[0], mm[1], mm[2], 1, 0, 0, 0};
  const bool only_q = kind == Kind::qform_only || kind == Kind::oblique_qform;
  const bool use_q = only_q || kind == Kind::both || kind == Kind::disagreeing || kind == Kind::anisotropic;
  const bool use_s = !only_q;
  if (use_s) {
    f.sform_code = 1;
    f.srow = c.world;
  }
  if (use_q) {
    f.qform_code = 1;
    auto proper = rotation;
    const double det = proper[0][0] * (proper[1][1] * proper[2][2] - proper[1][2] * proper[2][1]) -
                       proper[0][1] * (proper[1][0] * proper[2][2] - proper[1][2] * proper[2][0]) +
                       proper[0][2] * (proper[1][0] * proper[2][1] - proper[1][1] * proper[2][0]);
    if (det < 0) {
      f.pixdim[0] = -1;
      for (std::size_t r = 0; r < 3; ++r) proper[r][2] = -proper[r][2];
    }
    const auto q = quaternion_of(proper);
    f.quaternion = {q[1], q[2], q[3], origin[0], origin[1], origin[2]};
    if (kind == Kind::disagreeing) f.quaternion[3] += 0.5;
  }
  return c;
}

struct Type {
  int code, bits;
};
constexpr std::array<Type, 10> types{
    {{2, 8}, {4, 16}, {8, 32}, {16, 32}, {64, 64}, {256, 8}, {512, 16}, {768, 32}, {1024, 64}, {1280, 64}}};

// A different small value per voxel; 6 * 7 * 5 = 210 does not fit int8, so it wraps there.
double stored(std::int64_t i, std::int64_t j, std::int64_t k) {
  return static_cast<double>((i + 6 * j + 42 * k) % 120 + 1);
}

double distance(const Vec3& a, const std::array<double, 3>& b) {
  return std::sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]));
}

}  // namespace

TEST_CASE("48 orientations x 8 geometries x 10 types: places and values, also after reorientation") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "scan.nii";
  const Orientation lps = parse_orientation("LPS");
  int files = 0;
  for (const Orientation& o : all_orientations())
    for (const Kind kind : kinds)
      for (const Type& type : types) {
        const Case c = make_case(o, kind, type.code, type.bits, 1 + files % 2, files % 3 == 0);
        test::write_bytes(
            path, c.file.header() + c.file.voxels([](auto i, auto j, auto k, auto) { return stored(i, j, k); }));
        const NiftiVolume scan = read_nifti(ctx, path);
        ++files;
        CAPTURE(to_string(o));
        CAPTURE(static_cast<int>(kind));
        CAPTURE(type.code);
        bool good = scan.info.findings.has("nifti.forms") == (kind == Kind::disagreeing);
        good = good &&
               scan.info.affine_source == (kind == Kind::qform_only || kind == Kind::oblique_qform ? "qform" : "sform");
        good = good && to_string(orientation_of(scan.volume.affine)) == to_string(o);
        for (Index i = 0; i < 6; ++i)
          for (Index j = 0; j < 7; ++j)
            for (Index k = 0; k < 5; ++k) {
              const Vec3 index{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
              good =
                  good && distance(scan.volume.affine * index, at(c.world, index[0], index[1], index[2])) < c.tolerance;
              good = good && scan.volume.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j),
                                                static_cast<std::size_t>(k)) == static_cast<float>(stored(i, j, k));
            }
        REQUIRE(good);

        const Volume canonical = reorient(ctx, scan.volume, lps);
        CHECK(to_string(orientation_of(canonical.affine)) == "LPS");
        // Every voxel of the result is a voxel of the file: the one at its place, with its value.
        const Extent3 n = canonical.shape();
        REQUIRE(voxel_count(n) == 210);
        bool kept = true;
        for (std::int64_t i = 0; i < 6; ++i)
          for (std::int64_t j = 0; j < 7; ++j)
            for (std::int64_t k = 0; k < 5; ++k) {
              // Where the file's voxel (i, j, k) must have gone: LPS axis a is the file's axis along the same world line.
              std::array<std::size_t, 3> index{};
              const std::int64_t ijk[3] = {i, j, k}, extent[3] = {6, 7, 5};
              for (std::size_t a = 0; a < 3; ++a)
                for (std::size_t b = 0; b < 3; ++b)
                  if (o.axis[b] == static_cast<int>(a)) {
                    const int wanted = a == 2 ? 1 : -1;  // L and P run down the world's x and y
                    index[a] = static_cast<std::size_t>(o.sign[b] == wanted ? ijk[b] : extent[b] - 1 - ijk[b]);
                  }
              const Vec3 p{static_cast<double>(index[0]), static_cast<double>(index[1]), static_cast<double>(index[2])};
              kept = kept && canonical.values(index[0], index[1], index[2]) == static_cast<float>(stored(i, j, k));
              kept = kept && distance(canonical.affine * p, at(c.world, static_cast<double>(i), static_cast<double>(j),
                                                               static_cast<double>(k))) < c.tolerance;
            }
        REQUIRE(kept);
      }
  CHECK(files == 48 * 8 * 10);
}

TEST_CASE("48 orientations x 8 geometries: a ramp in the world stays that ramp on the model's grid, and comes back") {
  // Trilinear interpolation reproduces a linear function exactly, so inside the scan every model voxel must hold the ramp's
  // value at its own place, whatever the header looked like. A mean over whole and partial voxels has its centre of weight up
  // to an eighth of a voxel beside its middle (test_resample.cpp computes such means exactly).
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "scan.nii";
  const auto ramp = [](const Vec3& p) { return 300 + 1.25 * p[0] - 2.5 * p[1] + 0.75 * p[2]; };
  for (const double mm : {1.0, 2.0, 3.0})
    for (const Orientation& o : all_orientations())
      for (const Kind kind : kinds) {
        CAPTURE(to_string(o));
        CAPTURE(static_cast<int>(kind));
        CAPTURE(mm);
        Case c = make_case(o, kind, 16, 32, 2, false);
        c.file.dim = {3, 12, 14, 11, 1, 1, 1, 1};
        test::write_bytes(path, c.file.header() + c.file.voxels([&](auto i, auto j, auto k, auto) {
          const auto p = at(c.world, static_cast<double>(i), static_cast<double>(j), static_cast<double>(k));
          return ramp({p[0], p[1], p[2]});
        }));
        const NiftiVolume scan = read_nifti(ctx, path);
        PreprocessingContract contract;
        contract.spacing = {mm, mm, mm};
        contract.shape = {30, 32, 34};
        contract.normalise = Normalisation::none;
        const Preprocessed p = preprocess(ctx, scan.volume, contract);
        CHECK(to_string(orientation_of(p.record.model.affine)) == "LPS");
        const Vec3 step = spacing(p.record.model.affine);
        for (const double s : step) CHECK(std::abs(s - mm) < 1e-3);
        // Inside: at least half a model voxel and half a scan voxel away from the outer centres of the scan.
        const Affine to_scan = inverse(scan.volume.affine) * p.record.model.affine;
        const Extent3 n = scan.volume.shape();
        Index inside = 0;
        double worst = 0;
        for (Index i = 0; i < 30; ++i)
          for (Index j = 0; j < 32; ++j)
            for (Index k = 0; k < 34; ++k) {
              const Vec3 model{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
              const Vec3 q = to_scan * model;
              bool in = true;
              const double margin = 0.5 + mm / 1.5;
              for (std::size_t a = 0; a < 3; ++a)
                in = in && q[a] >= margin && q[a] <= static_cast<double>(n[a] - 1) - margin;
              if (!in) continue;
              ++inside;
              worst = std::max(worst, std::abs(static_cast<double>(p.data.data()[(i * 32 + j) * 34 + k]) -
                                               ramp(p.record.model.affine * model)));
            }
        CHECK(inside > 20);
        double allowed = 2e-3, allowed_back = 2e-3;
        const Vec3 scan_mm = spacing(scan.volume.affine);
        for (std::size_t a = 0; a < 3; ++a)
          if (mm > scan_mm[a] * 1.001) allowed += 0.125 * scan_mm[a] * 2.6, allowed_back = allowed;
          else if (mm < scan_mm[a] * 0.999) allowed_back += 0.125 * mm * 2.6;
        CHECK(worst < allowed);
        if (p.record.input.shape != n) FAIL("the record forgot the scan's grid");

        // And back: where the model's grid covers the scan, the ramp returns to the scan's voxels.
        const Volume back = restore(ctx, p.data, p.record);
        REQUIRE(back.shape() == n);
        CHECK(back.affine == scan.volume.affine);
        const Affine to_model = inverse(p.record.model.affine) * scan.volume.affine;
        double back_worst = 0;
        for (Index i = 2; i < n[0] - 2; ++i)
          for (Index j = 2; j < n[1] - 2; ++j)
            for (Index k = 2; k < n[2] - 2; ++k) {
              const Vec3 v{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
              const Vec3 q = to_model * v;
              bool in = mm <= 2 && !c.sheared;
              for (std::size_t a = 0; a < 3; ++a)
                in = in && q[a] >= 1 && q[a] <= static_cast<double>(contract.shape[a] - 2);
              if (!in) continue;
              const double found = static_cast<double>(
                  back.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k)));
              back_worst = std::max(back_worst, std::abs(found - ramp(scan.volume.affine * v)));
            }
        CHECK(back_worst < 1.5 * allowed_back);
      }
}

TEST_CASE("without interpolation the way to the model and back is exact") {
  Context<Cpu> ctx({.threads = 2});
  for (const Orientation& o : all_orientations()) {
    CAPTURE(to_string(o));
    Affine affine;
    for (int r = 0; r < 3; ++r)
      for (int a = 0; a < 3; ++a)
        affine(r, a) = o.axis[static_cast<std::size_t>(a)] == r ? 2.0 * o.sign[static_cast<std::size_t>(a)] : 0.0;
    affine(0, 3) = 3.25;
    Volume scan(Grid{{9, 12, 7}, affine});
    for (Index i = 0; i < scan.size(); ++i) scan.data()[i] = static_cast<float>(i % 5 == 0 ? 0 : 3 * i + 1);
    PreprocessingContract contract;
    contract.spacing = {2, 2, 2};
    contract.shape = {16, 14, 15};
    contract.normalise = Normalisation::none;
    const Preprocessed p = preprocess(ctx, scan, contract);
    const Volume back = restore(ctx, p.data, p.record);
    CHECK(back.values == scan.values);
    CHECK(back.affine == scan.affine);

    contract.normalise = Normalisation::zscore_nonzero;
    for (const Background background : {Background::zero, Background::shifted}) {
      contract.background = background;
      const Preprocessed z = preprocess(ctx, scan, contract);
      const Volume same = restore(ctx, z.data, z.record);
      double worst = 0;
      for (Index i = 0; i < scan.size(); ++i)
        worst = std::max(worst, static_cast<double>(std::abs(same.data()[i] - scan.data()[i])));
      CHECK(worst < 1e-3);
    }
  }
}

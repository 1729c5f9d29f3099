// Scans through a saved tokenizer as encode and reconstruct take them: 48 orientations of one scan, and bfloat16 beside float.
#include "tests/support/check.hpp"
#include "tests/support/saved_tokenizer.hpp"
#include "tests/support/scratch_folder.hpp"

#include <algorithm>
#include <filesystem>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/models/tiled_decode.hpp"
#include "braing3n/ops/reduce.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/preprocess.hpp"

using namespace braing3n;

namespace {

/// A lopsided blob of 17 x 21 x 19 voxels, 2.5 x 2 x 2.25 mm, in RAS.
Volume blob() {
  Volume v(Grid{{17, 21, 19}, translation({-20, -18, -25}) * scaling({2.5, 2, 2.25})});
  std::fill_n(v.data(), v.size(), 0.0f);
  for (Index i = 0; i < 17; ++i)
    for (Index j = 0; j < 21; ++j)
      for (Index k = 0; k < 19; ++k) {
        const double x = (static_cast<double>(i) - 7) / 7, y = (static_cast<double>(j) - 11) / 9,
                     z = (static_cast<double>(k) - 9) / 8;
        const double r = x * x + y * y + z * z;
        if (r < 1)
          v.data()[(i * 21 + j) * 19 + k] =
              static_cast<float>(1000 * (1.2 - r + 0.3 * x * y + 0.2 * z + 0.1 * std::sin(9 * x + 5 * z)));
      }
  return v;
}

/// Where voxel `at` of the volume in RAS lies when stored as `o` says.
Index place(const Orientation& o, const Extent3& ras, const Extent3& shape, const Extent3& at) {
  Index offset = 0;
  for (std::size_t a = 0; a < 3; ++a) {
    const auto world = static_cast<std::size_t>(o.axis[a]);
    offset = offset * shape[a] + (o.sign[a] > 0 ? at[world] : ras[world] - 1 - at[world]);
  }
  return offset;
}

/// The same scan with its axes stored in another order and sense, by nothing but index arithmetic.
Volume stored_as(const Volume& v, const Orientation& o) {
  const Extent3 n = v.shape();
  Extent3 shape{};
  Affine affine;
  for (int r = 0; r < 3; ++r) {
    double origin = v.affine(r, 3);
    for (int a = 0; a < 3; ++a) {
      const int world = o.axis[static_cast<std::size_t>(a)], sign = o.sign[static_cast<std::size_t>(a)];
      affine(r, a) = sign * v.affine(r, world);
      if (sign < 0) origin += v.affine(r, world) * static_cast<double>(n[static_cast<std::size_t>(world)] - 1);
    }
    affine(r, 3) = origin;
  }
  for (std::size_t a = 0; a < 3; ++a) shape[a] = n[static_cast<std::size_t>(o.axis[a])];
  Volume out(Grid{shape, affine});
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k) out.data()[place(o, n, shape, {i, j, k})] = v.data()[(i * n[1] + j) * n[2] + k];
  return out;
}

}  // namespace

TEST_CASE("each of 48 orientations comes back in its own geometry, equal voxel for voxel, with the same features") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  const auto tokenizer = load_tokenizer<F32>(ctx, test::saved_tokenizer(ctx, scratch.path));
  const VolumeEncoder<Cpu, F32> encoder(ctx, scratch.path / "model.safetensors");
  const Volume scan = blob();
  const Extent3 n = scan.shape();
  Volume first;
  Tensor<float, Cpu> features;
  for (const Orientation& o : all_orientations()) {
    CAPTURE(to_string(o));
    const Volume stored = stored_as(scan, o);
    write_nifti(ctx, scratch.path / "in.nii.gz", stored, {.file = {.overwrite = true}});
    const Preprocessed p = preprocess(ctx, read_nifti(ctx, scratch.path / "in.nii.gz").volume, tokenizer.contract);
    const Shape s = p.data.shape(), batch{1, s[0], s[1], s[2], 1};
    const auto mean = mean_tokens_forward(encoder.tokens(p.data.reshape(batch)));
    Pass<Cpu> pass(ctx);
    const auto y = decode(pass, tokenizer.model.decoder, tokenizer.model.encode(pass, p.data.reshape(batch)).value(),
                          choose_tiling(tokenizer.model.decoder));
    write_nifti(ctx, scratch.path / "out.nii.gz", restore(ctx, y.reshape(s), p.record, &p.data),
                {.file = {.overwrite = true}});
    const Volume back = read_nifti(ctx, scratch.path / "out.nii.gz").volume;

    REQUIRE(back.shape() == stored.shape());
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 4; ++c) CHECK(back.affine(r, c) == doctest::Approx(stored.affine(r, c)).epsilon(1e-6));
    if (features.empty()) {
      REQUIRE(to_string(o) == "RAS");
      first = back, features = mean;
      continue;
    }
    float low = 0, high = 0, worst = 0;
    for (Index i = 0; i < n[0]; ++i)
      for (Index j = 0; j < n[1]; ++j)
        for (Index k = 0; k < n[2]; ++k) {
          const float a = first.data()[(i * n[1] + j) * n[2] + k],
                      b = back.data()[place(o, n, back.shape(), {i, j, k})];
          low = std::min(low, a), high = std::max(high, a), worst = std::max(worst, std::abs(a - b));
        }
    REQUIRE(high - low > 100);
    CHECK(worst <= 1e-4f * (high - low));
    double largest = 0;
    for (Index i = 0; i < features.size(); ++i)
      largest = std::max(largest, std::abs(static_cast<double>(features.data()[i])));
    CHECK(test::max_difference(mean, features) <= 1e-5 * largest);
  }
}

TEST_CASE("in bfloat16 a tokenizer gives what it gives in float, to the precision of bfloat16") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  const auto path = test::saved_tokenizer(ctx, scratch.path);
  const auto full = load_tokenizer<F32>(ctx, path);
  const auto half = load_tokenizer<BF16>(ctx, path);
  const Preprocessed p = preprocess(ctx, blob(), full.contract);
  const Shape s = p.data.shape();
  const auto x = p.data.reshape({1, s[0], s[1], s[2], 1});
  Pass<Cpu> pass(ctx);
  const auto a = full.model(pass, x).value();
  const auto b = cast<float>(decode(pass, half.model.decoder, half.model.encode(pass, cast<bfloat16>(x)).value(),
                                    choose_tiling(half.model.decoder)));
  double squares = 0, difference = 0;
  for (Index i = 0; i < a.size(); ++i) {
    squares += static_cast<double>(a.data()[i]) * static_cast<double>(a.data()[i]);
    difference += (static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])) *
                  (static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
  }
  CHECK(std::sqrt(difference / squares) < 0.03);
  CHECK(difference > 0);
}

#include "tests/support/check.hpp"

#include <Eigen/QR>
#include <xtensor/xmath.hpp>

#include "braing3n/data/latents.hpp"
#include "braing3n/interop/eigen.hpp"
#include "braing3n/interop/xtensor.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/volume/volume.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

// [eigen]
/// Makes the rows of features (n, d) orthonormal with Eigen, in the tensor's own memory, and returns their products (n, n), the identity.
Tensor<double, Cpu> orthonormal_rows(Tensor<double, Cpu>& features) {
  auto x = as_eigen(features);  // Eigen::Map, (n, d) row-major
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(x.transpose());
  x = (qr.householderQ() * Eigen::MatrixXd::Identity(x.cols(), x.rows())).transpose();
  return matmul_forward(features, features, {.transpose_b = true});
}
// [eigen]

// [xtensor]
/// Mean latents of a file (rows, X', Y', Z', channels) over rows and tokens; values are read from the mapped file as they are needed.
xt::xtensor<double, 1> mean_latents(const LatentFile& file) {
  const auto latents = as_xtensor<float, 5>(file.tensor());
  return xt::mean<double>(latents, {0, 1, 2, 3});
}

/// Scales a volume in place, through a tensor over the volume's own values.
void halve(Context<Cpu>& context, Volume& volume) {
  Tensor<float, Cpu> values = from_xtensor(context, volume.values);  // (X, Y, Z)
  auto array = as_xtensor<3>(values);
  array *= 0.5f;
}
// [xtensor]

}  // namespace

TEST_CASE("the examples of Eigen and xtensor") {
  Context<Cpu> ctx({.threads = 1});
  Tensor<double, Cpu> features = test::random<double>(ctx, {3, 5}, 1);
  const auto inner = orthonormal_rows(features);
  for (Index i = 0; i < 9; ++i) CHECK(inner.data()[i] == doctest::Approx(i % 4 == 0 ? 1 : 0).epsilon(1e-12));

  const test::ScratchFolder folder;
  const std::vector<float> latents = {1, 2, 3, 4, 5, 6, 7, 8};
  write_safetensors(folder / "latents.safetensors",
                    std::vector{named_tensor<float>("latents", {2, 1, 1, 2, 2}, latents)},
                    {{"volume_ids", R"(["a", "b"])"}});
  const auto mean = mean_latents(LatentFile(folder / "latents.safetensors", false));
  CHECK(mean(0) == 4);
  CHECK(mean(1) == 5);

  Volume volume(Grid{{1, 1, 2}, {}});
  volume.values.fill(4);
  halve(ctx, volume);
  CHECK(volume.values(0, 0, 1) == 2);
}

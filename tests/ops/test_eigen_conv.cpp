// Convolutions of the Eigen provider: lines and im2col. Its products are tested in tests/backend/test_gemm_eigen.cpp.
#include "braing3n/backend/cpu/providers/eigen_provider.hpp"
#include "braing3n/ops/conv_transpose3d.hpp"
#include "braing3n/ops/upsample.hpp"

#include "support/conv_cases.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("conv3d on Eigen equals its definition, bit for bit on small integers") {
  compare_conv_with_definition<float>({&eigen_cpu_provider()});
  compare_conv_with_definition<double>({&eigen_cpu_provider()});
  compare_conv_with_definition<bfloat16>({&eigen_cpu_provider()});
}

namespace {

// Enough planes and lines for tasks that walk over x and for several blocks of y, so that planes of the ring are replaced.
const ConvCase walks[] = {{{1, 33, 20, 40, 64}, {3, 3, 1, 64, 2}, conv_options({1, 1, 1}, {1, 1, 0}, {1, 1, 0})},
                          {{2, 65, 42, 9, 3}, {3, 3, 3, 3, 2}, conv_options({2, 2, 2}, {0, 1, 0}, {1, 0, 1})},
                          {{2, 70, 21, 12, 2}, {2, 3, 3, 2, 3}, conv_options({3, 1, 1}, {1, 1, 1}, {0, 1, 1})}};

}  // namespace

TEST_CASE("conv3d on Eigen keeps the right planes while it walks over x") {
  Context<Cpu> ctx({.threads = 2, .provider = &eigen_cpu_provider()});
  for (const ConvCase& c : walks) {
    CAPTURE(c.x.str());
    const auto x = small_integers<float>(ctx, c.x, 1), w = small_integers<float>(ctx, c.w, 2);
    const Tensor<double, Cpu> want = reference_conv3d(x, w, {}, c.options);
    const auto dy = small_integers<float>(ctx, want.shape(), 3);
    const auto wrong = [](const Tensor<float, Cpu>& got, const Tensor<double, Cpu>& exact) {
      Index n = 0;
      for (Index i = 0; i < got.size(); ++i) n += static_cast<double>(got.data()[i]) == exact.data()[i] ? 0 : 1;
      return n;
    };
    CHECK(wrong(conv3d_forward(x, w, {}, c.options), want) == 0);
    CHECK(wrong(conv3d_backward_input(dy, w, c.x, c.options), reference_conv3d_input(dy, w, c.x, c.options)) == 0);
    auto dw = Tensor<float, Cpu>::zeros(ctx, c.w);
    conv3d_backward_weight(x, dy, c.options, dw);
    CHECK(wrong(dw, reference_conv3d_weight(x, dy, c.w, c.options)) == 0);
  }
}

TEST_CASE("conv3d on Eigen does not depend on the number of threads") {
  check_threads_do_not_matter(
      eigen_cpu_provider(),
      {walks[0], walks[1], ConvCase{{1, 6, 7, 9, 100}, {3, 3, 3, 100, 70}, Conv3dOptions::same(3)}});
}

// Their weights are (taps, result, summed) or change places between phases. The default kernels are compared with definitions elsewhere.
TEST_CASE("upsampling and transposed convolutions on Eigen equal the default kernels, bit for bit on small integers") {
  Context<Cpu> eigen({.threads = 2, .provider = &eigen_cpu_provider()}), other({.threads = 2});
  for (const auto& [shape, out] : {std::pair{Shape{2, 3, 4, 17, 5}, Index{7}}, {Shape{1, 2, 3, 5, 60}, Index{50}}}) {
    CAPTURE(shape.str());
    const Shape fine{shape[0], 2 * shape[1], 2 * shape[2], 2 * shape[3], out};
    const auto results = [&, &x_shape = shape, &columns = out](Context<Cpu>& ctx) {
      const auto x = small_integers<float>(ctx, x_shape, 1), dy = small_integers<float>(ctx, fine, 2);
      const auto bias = small_integers<float>(ctx, {columns}, 3);
      const auto w3 = small_integers<float>(ctx, {3, 3, 3, x_shape[4], columns}, 4);
      const auto w2 = small_integers<float>(ctx, {2, 2, 2, x_shape[4], columns}, 5);
      auto dw3 = Tensor<float, Cpu>::zeros(ctx, w3.shape()), dw2 = Tensor<float, Cpu>::zeros(ctx, w2.shape());
      upsample_conv3d_backward_weight(x, dy, dw3);
      conv_transpose3d_backward_weight(x, dy, dw2);
      return std::vector{upsample_conv3d_forward(x, w3, bias),  upsample_conv3d_backward_input(dy, w3),  dw3,
                         conv_transpose3d_forward(x, w2, bias), conv_transpose3d_backward_input(dy, w2), dw2};
    };
    const auto got = results(eigen), want = results(other);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK_MESSAGE(same_bits(got[i], want[i]), "result ", i);
  }
}

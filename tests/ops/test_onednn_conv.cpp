#include "braing3n/backend/cpu/providers/onednn_conv.hpp"

#include "support/conv_cases.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

const CpuProvider& convolutions_by_onednn() {
  static const CpuProvider table = [] {
    CpuProvider p = default_cpu_provider();
    p.name = "onednn convolutions";
    p.conv_f32.forward = &detail::OnednnConvolutions<float>::forward;
    p.conv_f32.backward_input = &detail::OnednnConvolutions<float>::backward_input;
    p.conv_bf16.forward = &detail::OnednnConvolutions<bfloat16>::forward;
    p.conv_bf16.backward_input = &detail::OnednnConvolutions<bfloat16>::backward_input;
    return p;
  }();
  return table;
}

}  // namespace

TEST_CASE("oneDNN convolutions equal the definition, bit for bit on small integers") {
  compare_conv_with_definition<float>({&convolutions_by_onednn()});
}

TEST_CASE("oneDNN bfloat16 convolutions equal the definition, bit for bit on small integers") {
  if (detect_isa() >= Isa::avx512bf16) compare_conv_with_definition<bfloat16>({&convolutions_by_onednn()});
}

TEST_CASE("oneDNN convolutions do not depend on the number of threads") {
  std::vector<std::unique_ptr<Context<Cpu>>> contexts;  // outlive the results
  std::vector<Tensor<float, Cpu>> first;
  for (int threads : {1, 2, 3}) {
    contexts.push_back(
        std::make_unique<Context<Cpu>>(CpuOptions{.threads = threads, .provider = &convolutions_by_onednn()}));
    Context<Cpu>& ctx = *contexts.back();
    const auto x = random<float>(ctx, {2, 11, 9, 33, 40}, 1), w = random<float>(ctx, {3, 3, 3, 40, 33}, 2),
               bias = random<float>(ctx, {33}, 3);
    const auto y = conv3d_forward(x, w, bias, Conv3dOptions::same(3));
    // A volume smaller than its weights is cut along the columns.
    const auto deep = random<float>(ctx, {2, 3, 4, 5, 40}, 4), wide = random<float>(ctx, {3, 3, 3, 40, 130}, 5);
    const auto z = conv3d_forward(deep, wide, Tensor<float, Cpu>(), Conv3dOptions::same(3));
    const std::vector<Tensor<float, Cpu>> got = {y, conv3d_backward_input(y, w, x.shape(), Conv3dOptions::same(3)), z,
                                                 conv3d_backward_input(z, wide, deep.shape(), Conv3dOptions::same(3))};
    if (first.empty()) first = got;
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK_MESSAGE(same_bits(first[i], got[i]), "result ", i, " with ", threads, " threads");
  }
}

// Reading the reference cases of tests/fixtures.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "braing3n/format/safetensors.hpp"
#include "braing3n/nn/state_dict.hpp"
#include "tests/support/check.hpp"

namespace braing3n::test {

/// The environment variable BRAING3N_FIXTURES names the folder on a machine that has the program and not the tree.
inline SafetensorsFile fixture(const std::string& name, const std::string& file) {
  const char* const elsewhere = std::getenv("BRAING3N_FIXTURES");
  return SafetensorsFile(std::string(elsewhere != nullptr ? elsewhere : BRAING3N_FIXTURES) + "/" + name + "/" + file);
}

/// A tensor of a fixture, in the fixture's own axis order.
template <class T>
Tensor<T, Cpu> fixture_tensor(Context<Cpu>& ctx, const SafetensorsFile& file, const std::string& name) {
  Shape shape{std::span<const Index>(file.info(name).shape)};
  return Tensor<T, Cpu>::from_host(ctx, shape, file.read<T>(name));
}

/// (N, C, X, Y, Z), as the peers store volumes, to (N, X, Y, Z, C).
template <class T>
Tensor<T, Cpu> channels_last(const Tensor<T, Cpu>& x) {
  REQUIRE(x.rank() == 5);
  const Index n = x.dim(0), c = x.dim(1), voxels = x.shape().product(2, 5);
  Tensor<T, Cpu> y(x.context(), {n, x.dim(2), x.dim(3), x.dim(4), c});
  for (Index b = 0; b < n; ++b)
    for (Index k = 0; k < c; ++k)
      for (Index v = 0; v < voxels; ++v) y.data()[(b * voxels + v) * c + k] = x.data()[(b * c + k) * voxels + v];
  return y;
}

/// |a - b| <= atol + rtol |b| everywhere, the rule of numpy and PyTorch. The first violation is shown.
template <class A, class Bt>
void check_close(const std::string& what, const Tensor<A, Cpu>& a, const Tensor<Bt, Cpu>& b, double rtol, double atol) {
  REQUIRE_MESSAGE(a.size() == b.size(), what, ": ", a.shape().str(), " and ", b.shape().str());
  double worst = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a.data()[i]), y = static_cast<double>(b.data()[i]);
    const double excess = std::abs(x - y) / (atol + rtol * std::abs(y));
    if (excess > worst || excess != excess) worst = excess;  // a NaN stays the worst
  }
  CHECK_MESSAGE(worst <= 1.0, what, ": the error is ", worst, " times the tolerance");
}

/// Compares the gradients of every parameter with "grad.<name>" of the case; every gradient in the file must be met.
/// to_peer: our name -> the peer's.
template <class Model, class Rename>
void check_parameter_gradients(Model& model, const SafetensorsFile& reference, double rtol, double atol,
                               Rename&& to_peer) {
  Index met = 0, expected = 0;
  for (const auto& t : reference.tensors()) expected += t.name.rfind("grad.", 0) == 0 ? 1 : 0;
  for_each_parameter(model, [&](const std::string& path, auto& p) {
    const std::string name = "grad." + to_peer(path);
    if (!reference.contains(name)) {
      CHECK_MESSAGE((p.spec().fixed || p.gradient().empty()), path, ": has a gradient, the reference has none");
      return;
    }
    ++met;
    REQUIRE_MESSAGE(!p.gradient().empty(), path, ": got no gradient");
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    const auto ours = to_file_order(p.spec(), p.gradient().to_host());
    check_close(name, Tensor<Value, Cpu>::from_host(p.context(), file_shape(p.spec()), ours),
                fixture_tensor<double>(p.context(), reference, name), rtol, atol);
  });
  CHECK(met == expected);
}

}  // namespace braing3n::test

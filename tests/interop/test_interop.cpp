#include "tests/support/check.hpp"

#include <Eigen/Eigenvalues>
#include <filesystem>

#include "braing3n/format/safetensors.hpp"
#include "braing3n/interop/eigen.hpp"
#include "braing3n/interop/xtensor.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/volume/volume.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

Tensor<float, Cpu> counted(Context<Cpu>& ctx, const Shape& shape) {
  Tensor<float, Cpu> t(ctx, shape);
  for (Index i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(i);
  return t;
}

}  // namespace

TEST_CASE("a tensor as a matrix of Eigen shares its memory") {
  Context<Cpu> ctx({.threads = 1});
  Tensor<float, Cpu> t = counted(ctx, {4, 3});
  auto m = as_eigen(t);
  CHECK(m.data() == t.data());
  CHECK(m.rows() == 4);
  CHECK(m.cols() == 3);
  CHECK(m.outerStride() == 3);
  CHECK(m.innerStride() == 1);
  CHECK(m(2, 1) == 7);
  m(2, 1) = -1;
  CHECK(t.data()[7] == -1);
  const Tensor<float, Cpu>& constant = t;
  const auto c = as_eigen(constant);
  static_assert(std::is_same_v<decltype(c), const EigenConstMatrixView<float>>);
  CHECK(c.data() == t.data());
  // A slice begins further on and has the same stride.
  Tensor<float, Cpu> rows = t.slice(1, 3);
  CHECK(as_eigen(rows).data() == t.data() + 3);
  CHECK(as_eigen(rows).rows() == 2);
  CHECK(as_eigen(rows).outerStride() == 3);
  CHECK(as_eigen(rows)(0, 2) == 5);
  // Tokens (N, L, C): every token is a row.
  const Tensor<float, Cpu> tokens = counted(ctx, {2, 3, 4});
  CHECK(as_eigen(tokens).rows() == 6);
  CHECK(as_eigen(tokens)(4, 2) == tokens.data()[1 * 12 + 1 * 4 + 2]);
  const Tensor<float, Cpu> line = counted(ctx, {5});
  CHECK(as_eigen(line).rows() == 1);
  CHECK(as_eigen(line).cols() == 5);
  const Tensor<float, Cpu> scalar = counted(ctx, {});
  test::check_error("interop.rank", {"at least one axis", "()"}, [&] { (void)as_eigen(scalar); });
}

TEST_CASE("a matrix of Eigen as a tensor shares its memory, and ops do not write into it") {
  Context<Cpu> ctx({.threads = 1});
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> m(2, 3);
  m << 1, 2, 3, 4, 5, 6;
  Tensor<double, Cpu> t = from_eigen(ctx, m);
  CHECK(t.data() == m.data());
  CHECK(t.shape() == Shape{2, 3});
  t.data()[5] = 7;
  CHECK(m(1, 2) == 7);
  CHECK(!t.unique());  // an op that may reuse its input must not reuse the matrix
  CHECK(t.clone().unique());
  CHECK(t.slice(1, 2).data() == m.data() + 3);
  const auto product = matmul_forward(t, t, {.transpose_b = true});
  CHECK(as_eigen(product)(0, 1) == 4 + 10 + 21);
  Eigen::Matrix<double, Eigen::Dynamic, 1> column(3);
  column << 1, 2, 3;
  CHECK(from_eigen(ctx, column).shape() == Shape{3, 1});
}

TEST_CASE("a tensor as an array of xtensor shares its memory") {
  Context<Cpu> ctx({.threads = 1});
  Tensor<float, Cpu> t = counted(ctx, {2, 3, 4});
  auto x = as_xtensor<3>(t);
  CHECK(x.data() == t.data());
  CHECK(x.shape() == std::array<std::size_t, 3>{2, 3, 4});
  CHECK(x.strides() == std::array<std::ptrdiff_t, 3>{12, 4, 1});
  CHECK(x(1, 2, 3) == 23);
  x(1, 2, 3) = -1;
  CHECK(t.data()[23] == -1);
  Tensor<float, Cpu> second = t.slice(1, 2);
  const auto s = as_xtensor<3>(second);
  CHECK(s.data() == t.data() + 12);
  CHECK(s.shape() == std::array<std::size_t, 3>{1, 3, 4});
  CHECK(s(0, 1, 0) == 16);
  const Tensor<float, Cpu>& constant = t;
  auto any = as_xtensor(constant);
  static_assert(std::is_const_v<std::remove_reference_t<decltype(any(0, 0, 0))>>);
  CHECK(any.dimension() == 3);
  CHECK(any.data() == t.data());
  CHECK(any(0, 1, 1) == 5);
  auto writable = as_xtensor(t);
  writable(0, 0, 0) = 9;
  CHECK(t.data()[0] == 9);
  test::check_error("interop.rank", {"2 axes", "(2, 3, 4)"}, [&] { (void)as_xtensor<2>(t); });
}

TEST_CASE("an xtensor and the values of a volume as tensors share their memory") {
  Context<Cpu> ctx({.threads = 1});
  xt::xtensor<float, 2> x = xt::xtensor<float, 2>::from_shape({2, 3});
  for (std::size_t i = 0; i < 6; ++i) x.data()[i] = static_cast<float>(i);
  Tensor<float, Cpu> t = from_xtensor(ctx, x);
  CHECK(t.data() == x.data());
  CHECK(t.shape() == Shape{2, 3});
  t.data()[4] = -4;
  CHECK(x(1, 1) == -4);
  Volume volume(Grid{{3, 4, 5}, {}});
  const Tensor<float, Cpu> values = from_xtensor(ctx, volume.values);
  CHECK(values.data() == volume.data());
  CHECK(values.shape() == Shape{3, 4, 5});
}

TEST_CASE("rows of a mapped file are an xtensor without a copy") {
  const test::ScratchFolder folder;
  const std::vector<float> latents = {1, 2, 3, 4, 5, 6};
  const std::vector<double> wide = {1, 2};
  write_safetensors(folder / "rows.safetensors", std::vector{named_tensor<float>("latents", {3, 2}, latents),
                                                             named_tensor<double>("wide", {2}, wide)});
  const SafetensorsFile file(folder / "rows.safetensors");
  const NamedTensor& tensor = file.info("latents");
  const auto x = as_xtensor<float, 2>(tensor);
  CHECK(static_cast<const void*>(x.data()) == static_cast<const void*>(tensor.bytes.data()));
  CHECK(x.shape() == std::array<std::size_t, 2>{3, 2});
  CHECK(x(2, 1) == 6);
  test::check_error("interop.dtype", {"wide", "F32", "F64"}, [&] { (void)as_xtensor<float, 1>(file.info("wide")); });
  test::check_error("interop.rank", {"3 axes", "(3, 2)"}, [&] { (void)as_xtensor<float, 3>(tensor); });
  NamedTensor odd = tensor;
  odd.bytes = tensor.bytes.subspan(1, 8);
  odd.shape = {2};
  test::check_error("interop.alignment", {"aligned to 4"}, [&] { (void)as_xtensor<float, 1>(odd); });
}

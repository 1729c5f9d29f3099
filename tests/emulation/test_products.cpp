// cuBLAS in the emulation against plain loops, and what it refuses.
#include "braing3n/base/bfloat16.hpp"
#include "cublas_v2.h"
#include "support.hpp"

using namespace emulation;
using namespace emulation::test;
using braing3n::bfloat16;

namespace {

struct Handle {
  cublasHandle_t cublas = nullptr;
  explicit Handle(cudaStream_t stream) {
    REQUIRE(cublasCreate(&cublas) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetStream(cublas, stream) == CUBLAS_STATUS_SUCCESS);
  }
  ~Handle() { cublasDestroy(cublas); }
};

template <class T>
constexpr cudaDataType_t type_of() {
  return sizeof(T) == 8 ? CUDA_R_64F : sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_16BF;
}

/// Small integers by columns, `ld` apart; what lies between columns is far off.
template <class T>
std::vector<T> by_columns(int rows, int columns, int ld, int seed) {
  std::vector<T> v(static_cast<std::size_t>(ld * columns), static_cast<T>(1000.0f));
  for (int c = 0; c < columns; ++c)
    for (int r = 0; r < rows; ++r)
      v[static_cast<std::size_t>(c * ld + r)] = static_cast<T>(static_cast<float>((r * 5 + c * 3 + seed) % 7 - 3));
  return v;
}

template <class T>
double element(const std::vector<T>& v, int row, int column, int ld) {
  return static_cast<double>(v[static_cast<std::size_t>(column * ld + row)]);
}

template <class In, class Out>
void compare(cublasOperation_t op_a, cublasOperation_t op_b, bool accumulate) {
  using Scalar = std::conditional_t<sizeof(Out) == 8, double, float>;
  const int m = 5, n = 4, k = 3, lda = 7, ldb = 6, ldc = 8;
  const bool plain_a = op_a == CUBLAS_OP_N, plain_b = op_b == CUBLAS_OP_N;
  const auto a = by_columns<In>(plain_a ? m : k, plain_a ? k : m, lda, 1),
             b = by_columns<In>(plain_b ? k : n, plain_b ? n : k, ldb, 2);
  const auto c = by_columns<Out>(m, n, ldc, 3);
  Device d;
  const Handle handle(d.stream);
  Out* const result = d.upload(c);
  const Scalar one = 1, beta = accumulate ? Scalar{1} : Scalar{0};
  const auto compute = sizeof(Out) == 8 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  REQUIRE(cublasGemmEx(handle.cublas, op_a, op_b, m, n, k, &one, d.upload(a), type_of<In>(), lda, d.upload(b),
                       type_of<In>(), ldb, &beta, result, type_of<Out>(), ldc, compute,
                       CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  const auto got = d.download(result, c.size());
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < ldc; ++i) {
      double expected = element(c, i, j, ldc);
      if (i < m) {
        if (!accumulate) expected = 0;
        for (int l = 0; l < k; ++l)
          expected += (plain_a ? element(a, i, l, lda) : element(a, l, i, lda)) *
                      (plain_b ? element(b, l, j, ldb) : element(b, j, l, ldb));
      }
      CHECK(element(got, i, j, ldc) == expected);
    }
}

}  // namespace

TEST_CASE("products of small integers are exact in every type and transposition") {
  const With with;
  for (const auto op_a : {CUBLAS_OP_N, CUBLAS_OP_T})
    for (const auto op_b : {CUBLAS_OP_N, CUBLAS_OP_T})
      for (const bool accumulate : {false, true}) {
        compare<double, double>(op_a, op_b, accumulate);
        compare<float, float>(op_a, op_b, accumulate);
        compare<bfloat16, bfloat16>(op_a, op_b, accumulate);
        compare<bfloat16, float>(op_a, op_b, accumulate);
      }
}

TEST_CASE("what cuBLAS refuses is refused") {
  const With with;
  Device d;
  const Handle handle(d.stream);
  const float one = 1, zero = 0, half = 0.5f;
  float* const x = d.allocate<float>(64);
  const auto call = [&](int m, int n, int k, int lda, int ldb, int ldc, const float* alpha, cudaDataType_t in,
                        cudaDataType_t out) {
    return cublasGemmEx(handle.cublas, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, alpha, x, in, lda, x, in, ldb, &zero, x + 32,
                        out, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(call(4, 3, 2, 4, 3, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(call(4, 3, 2, 3, 3, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(call(4, 3, 2, 4, 2, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(call(4, 3, 2, 4, 3, 3, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(call(-1, 3, 2, 4, 3, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(call(4, 3, 2, 4, 3, 4, &one, CUDA_R_32F, CUDA_R_16BF) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(call(4, 3, 2, 4, 3, 4, &one, CUDA_R_64F, CUDA_R_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(call(4, 3, 2, 4, 3, 4, &half, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(call(4, 3, 8, 8, 3, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(call(4, 3, 9, 8, 3, 4, &one, CUDA_R_32F, CUDA_R_32F) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(contains(take_faults().at(0), "a matrix does not lie inside memory of the device"));
}

TEST_CASE("a product waits in a deferred stream, and belongs to the device of its handle") {
  const With with({.deferred = true, .devices = 2});
  Device d;
  const Handle handle(d.stream);
  const float one = 1, zero = 0;
  float* const x = d.upload(std::vector<float>{2});
  float* const y = d.allocate<float>(1);
  const auto call = [&] {
    return cublasGemmEx(handle.cublas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, x, CUDA_R_32F, 1, x, CUDA_R_32F, 1,
                        &zero, y, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(call() == CUBLAS_STATUS_SUCCESS);
  CHECK(std::isnan(*y));
  CHECK(d.download(y, 1).front() == 4);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(call() == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cudaSetDevice(0) == cudaSuccess);
}

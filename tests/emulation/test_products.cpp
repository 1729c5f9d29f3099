// cuBLASLt in the emulation against plain loops, and what it refuses.
#include "braing3n/base/bfloat16.hpp"
#include "braing3n/base/functors.hpp"
#include "cublasLt.h"
#include "support.hpp"

using namespace emulation;
using namespace emulation::test;
using braing3n::bfloat16;

namespace {

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

/// A product and what goes with it, with a call that asks for an algorithm and multiplies.
struct Call {
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDescOpaque_t desc{};
  cublasLtMatrixLayoutOpaque_t a{}, b{}, c{};
  cublasLtMatmulPreferenceOpaque_t preference{};
  cublasLtMatmulHeuristicResult_t found{};
  cudaDataType_t scale = CUDA_R_32F;
  static constexpr int asked_at = __LINE__ + 11, multiplied_at = __LINE__ + 22;

  Call() {
    REQUIRE(cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulPreferenceInit(&preference);
  }
  ~Call() { cublasLtDestroy(handle); }

  cublasStatus_t ask() {
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, &desc, &a, &b, &c, &c, &preference, 1, &found, &count);
    CHECK((count == 1) == (status == CUBLAS_STATUS_SUCCESS));
    return status;
  }
  cublasStatus_t multiply(Device& d, const void* pa, const void* pb, void* pc, bool accumulate = false,
                          void* workspace = nullptr, std::size_t bytes = 0) {
    const double one = 1, beta = accumulate ? 1 : 0;
    const float one_float = 1, beta_float = accumulate ? 1.0f : 0.0f;
    const bool wide = scale == CUDA_R_64F;
    const void* const alpha = wide ? static_cast<const void*>(&one) : &one_float;
    const void* const add = wide ? static_cast<const void*>(&beta) : &beta_float;
    return cublasLtMatmul(handle, &desc, alpha, pa, &a, pb, &b, add, pc, &c, pc, &c, &found.algo, workspace, bytes,
                          d.stream);
  }
  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, V value) {
    REQUIRE(cublasLtMatmulDescSetAttribute(&desc, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  void epilogue(std::uint32_t e) { set(CUBLASLT_MATMUL_DESC_EPILOGUE, e); }
  void align(std::uint32_t bytes) {
    for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      REQUIRE(cublasLtMatmulPreferenceSetAttribute(&preference, which, &bytes, sizeof bytes) == CUBLAS_STATUS_SUCCESS);
  }
};

struct Sizes {
  int m, n, k, lda, ldb, ldc;
};
/// A (m, k), B (k, n), neither transposed unless said.
void describe(Call& call, const Sizes& s, cudaDataType_t in, cudaDataType_t out, cublasComputeType_t compute,
              cublasOperation_t op_a = CUBLAS_OP_N, cublasOperation_t op_b = CUBLAS_OP_N) {
  const auto size = [](int n) { return static_cast<std::uint64_t>(n); };
  call.scale = compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
  cublasLtMatmulDescInit(&call.desc, compute, call.scale);
  call.set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(op_a));
  call.set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<std::int32_t>(op_b));
  const bool plain_a = op_a == CUBLAS_OP_N, plain_b = op_b == CUBLAS_OP_N;
  cublasLtMatrixLayoutInit(&call.a, in, size(plain_a ? s.m : s.k), size(plain_a ? s.k : s.m), s.lda);
  cublasLtMatrixLayoutInit(&call.b, in, size(plain_b ? s.k : s.n), size(plain_b ? s.n : s.k), s.ldb);
  cublasLtMatrixLayoutInit(&call.c, out, size(s.m), size(s.n), s.ldc);
}

template <class In, class Out>
void compare(cublasOperation_t op_a, cublasOperation_t op_b, bool accumulate) {
  const Sizes s{5, 4, 3, 7, 6, 8};
  const bool plain_a = op_a == CUBLAS_OP_N, plain_b = op_b == CUBLAS_OP_N;
  const auto a = by_columns<In>(plain_a ? s.m : s.k, plain_a ? s.k : s.m, s.lda, 1),
             b = by_columns<In>(plain_b ? s.k : s.n, plain_b ? s.n : s.k, s.ldb, 2);
  const auto c = by_columns<Out>(s.m, s.n, s.ldc, 3);
  Device d;
  Call call;
  describe(call, s, type_of<In>(), type_of<Out>(), sizeof(Out) == 8 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, op_a,
           op_b);
  REQUIRE(call.ask() == CUBLAS_STATUS_SUCCESS);
  Out* const result = d.upload(c);
  REQUIRE(call.multiply(d, d.upload(a), d.upload(b), result, accumulate) == CUBLAS_STATUS_SUCCESS);
  const auto got = d.download(result, c.size());
  for (int j = 0; j < s.n; ++j)
    for (int i = 0; i < s.ldc; ++i) {
      double expected = element(c, i, j, s.ldc);
      if (i < s.m) {
        if (!accumulate) expected = 0;
        for (int l = 0; l < s.k; ++l)
          expected += (plain_a ? element(a, i, l, s.lda) : element(a, l, i, s.lda)) *
                      (plain_b ? element(b, l, j, s.ldb) : element(b, j, l, s.ldb));
      }
      CHECK(element(got, i, j, s.ldc) == expected);
    }
}

std::string refusal() {
  const auto all = take_refusals();
  return all.size() == 1 ? all.front() : "not one refusal but " + std::to_string(all.size());
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

TEST_CASE("epilogues: bias, GELU in the tanh form with what it was taken of, sums over a gradient") {
  const With with;
  Device d;
  Call call;
  const Sizes s{5, 4, 3, 5, 3, 5};
  const auto a = by_columns<float>(5, 3, 5, 1), b = by_columns<float>(3, 4, 3, 2);
  const std::vector<float> bias = {1, -2, 3, -4, 5};
  float* const result = d.allocate<float>(20);
  float* const aux = d.allocate<float>(32);
  describe(call, s, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F);
  const auto plain = [&](int i, int j) {
    double v = 0;
    for (int l = 0; l < 3; ++l) v += element(a, i, l, 5) * element(b, l, j, 3);
    return v;
  };
  call.epilogue(CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
  call.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(d.upload(bias)));
  call.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(aux));
  call.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{8});
  REQUIRE(call.ask() == CUBLAS_STATUS_SUCCESS);
  REQUIRE(call.multiply(d, d.upload(a), d.upload(b), result) == CUBLAS_STATUS_SUCCESS);
  const auto got = d.download(result, 20), kept = d.download(aux, 29);
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < 5; ++i) {
      const double v = plain(i, j) + static_cast<double>(bias[static_cast<std::size_t>(i)]);
      CHECK(element(kept, i, j, 8) == v);
      CHECK(element(got, i, j, 5) == doctest::Approx(braing3n::GeluTanh{}.value(v)).epsilon(1e-6));
    }
  CHECK(std::isnan(kept[5]));

  float* const sums = d.allocate<float>(4);
  call.epilogue(CUBLASLT_EPILOGUE_BGRADB);
  call.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(sums));
  REQUIRE(call.ask() == CUBLAS_STATUS_SUCCESS);
  REQUIRE(call.multiply(d, d.upload(a), d.upload(b), result) == CUBLAS_STATUS_SUCCESS);
  const auto totals = d.download(sums, 4);
  for (int j = 0; j < 4; ++j)
    CHECK(static_cast<double>(totals[static_cast<std::size_t>(j)]) ==
          element(b, 0, j, 3) + element(b, 1, j, 3) + element(b, 2, j, 3));
}

TEST_CASE("TensorFloat-32 keeps 10 bits of the fraction of each factor") {
  const With with;
  Device d;
  Call call;
  const float x = 1.0f + 0x1p-12f, y = 1.0f + 0x1p-10f;
  for (const bool reduced : {false, true}) {
    describe(call, {1, 1, 1, 1, 1, 1}, CUDA_R_32F, CUDA_R_32F,
             reduced ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F);
    REQUIRE(call.ask() == CUBLAS_STATUS_SUCCESS);
    float* const result = d.allocate<float>(1);
    REQUIRE(call.multiply(d, d.upload(std::vector<float>{x}), d.upload(std::vector<float>{y}), result) ==
            CUBLAS_STATUS_SUCCESS);
    CHECK(d.download(result, 1).front() == (reduced ? y : x * y));
  }
}

TEST_CASE("what cuBLASLt refuses is refused, with the place of the call") {
  const With with;
  Device d;
  Call call;
  float* const x = d.allocate<float>(256);
  const auto asked = [&](const Sizes& s, cudaDataType_t in = CUDA_R_32F, cudaDataType_t out = CUDA_R_32F,
                         cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
    describe(call, s, in, out, compute);
    return call.ask();
  };
  const auto with_epilogue = [&](std::uint32_t e, std::int64_t aux_ld, cublasComputeType_t compute) {
    const auto type = compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
    describe(call, {4, 3, 2, 4, 2, 4}, type, type, compute);
    call.epilogue(e);
    call.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(x));
    call.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<const void*>(x));
    call.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux_ld);
    return call.ask();
  };
  CHECK(asked({4, 3, 2, 4, 2, 4}) == CUBLAS_STATUS_SUCCESS);
  CHECK(asked({4, 3, 2, 3, 2, 4}) == CUBLAS_STATUS_INVALID_VALUE);
  const std::string said = refusal();
  CHECK_MESSAGE(contains(said, "CUBLAS_STATUS_INVALID_VALUE: a leading dimension of 3 for columns of 4"), said);
  CHECK_MESSAGE(contains(said, line(__FILE__, Call::asked_at)), said);
  CHECK(asked({4, 3, 2, 4, 1, 4}) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(asked({4, 3, 2, 4, 2, 3}) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(asked({0, 3, 2, 4, 2, 4}) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(asked({4, 3, 2, 4, 2, 4}, CUDA_R_32F, CUDA_R_16BF) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(asked({4, 3, 2, 4, 2, 4}, CUDA_R_64F, CUDA_R_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(asked({4, 3, 2, 4, 2, 4}, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32) ==
        CUBLAS_STATUS_NOT_SUPPORTED);
  take_refusals();

  CHECK(with_epilogue(CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 8, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(with_epilogue(CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 12, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "an auxiliary leading dimension of 12, not divisible by 8"));
  CHECK(with_epilogue(CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 0, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "an auxiliary leading dimension of 0 for columns of 4"));
  CHECK(with_epilogue(3, 8, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "there is no epilogue 3"));
  CHECK(with_epilogue(CUBLASLT_EPILOGUE_BIAS, 8, CUBLAS_COMPUTE_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(contains(refusal(), "an epilogue on a product in double"));
  options().missing_epilogues = CUBLASLT_EPILOGUE_BGRADB;
  CHECK(with_epilogue(CUBLASLT_EPILOGUE_BGRADB, 8, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(contains(refusal(), "no algorithm has epilogue 512"));
  CHECK(with_epilogue(CUBLASLT_EPILOGUE_BIAS, 8, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  const float odd = 0;
  constexpr int set_at = __LINE__ + 1;
  const auto status = cublasLtMatmulDescSetAttribute(&call.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &odd, 4);
  CHECK(status == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), line(__FILE__, set_at)));
}

TEST_CASE("a product wants the algorithm of its problem, its workspace, and matrices as aligned as was said") {
  const With with;
  Device d;
  Call call;
  float* const x = d.allocate<float>(1024);
  describe(call, {4, 3, 64, 4, 64, 4}, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F);
  CHECK(call.multiply(d, x, x + 256, x + 512) == CUBLAS_STATUS_INVALID_VALUE);
  const std::string said = refusal();
  CHECK_MESSAGE(contains(said, "no algorithm"), said);
  CHECK_MESSAGE(contains(said, line(__FILE__, Call::multiplied_at)), said);
  CHECK(call.ask() == CUBLAS_STATUS_SUCCESS);
  CHECK(call.found.workspaceSize == 0);  // none is allowed
  CHECK(call.multiply(d, x, x + 256, x + 512) == CUBLAS_STATUS_SUCCESS);
  CHECK(call.multiply(d, x + 1, x + 256, x + 512) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "A is aligned to 4 bytes, the algorithm wants 16"));
  call.align(4);
  CHECK(call.ask() == CUBLAS_STATUS_SUCCESS);
  CHECK(call.multiply(d, x + 1, x + 257, x + 513) == CUBLAS_STATUS_SUCCESS);
  describe(call, {4, 3, 63, 4, 64, 4}, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F);
  CHECK(call.multiply(d, x, x + 256, x + 512) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "an algorithm of another problem"));

  describe(call, {4, 3, 64, 4, 64, 4}, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F);
  const std::uint64_t allowed = 1024;
  cublasLtMatmulPreferenceSetAttribute(&call.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &allowed, 8);
  CHECK(call.ask() == CUBLAS_STATUS_SUCCESS);
  REQUIRE(call.found.workspaceSize == 96);
  CHECK(call.multiply(d, x, x + 256, x + 512) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "a workspace of 0 bytes for an algorithm that wants 96"));
  CHECK(call.multiply(d, x, x + 256, x + 512, false, x + 513, 1024) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(contains(refusal(), "not aligned to 16 bytes"));
  CHECK(call.multiply(d, x, x + 256, x + 512, false, x + 600, 1024) == CUBLAS_STATUS_SUCCESS);

  CHECK(call.multiply(d, x, x + 256, x + 1016, false, x + 600, 1024) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(contains(take_faults().at(0), "a matrix does not lie inside memory of the device"));
}

TEST_CASE("a product waits in a deferred stream, and belongs to the device of its handle") {
  const With with({.deferred = true, .devices = 2});
  Device d;
  Call call;
  float* const x = d.upload(std::vector<float>{2});
  float* const y = d.allocate<float>(1);
  describe(call, {1, 1, 1, 1, 1, 1}, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F);
  CHECK(call.ask() == CUBLAS_STATUS_SUCCESS);
  CHECK(call.multiply(d, x, x, y) == CUBLAS_STATUS_SUCCESS);
  CHECK(std::isnan(*y));
  CHECK(d.download(y, 1).front() == 4);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(call.multiply(d, x, x, y) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(contains(refusal(), "a handle or stream of another device"));
  CHECK(cudaSetDevice(0) == cudaSuccess);
}

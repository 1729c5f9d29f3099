// Products by cuBLASLt: one description of a product, and the algorithm that each description has been given once.
//
// The algorithm is the first that the heuristic names, never the fastest of a timing run: the bits of a result depend on the shapes, the
// types and the card alone, so that a run that is resumed goes on exactly. Partial sums of long products are added in the type of the
// sums, outside the result: no rounding to bf16 in between.
#pragma once

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <mutex>

#include "braing3n/backend/cuda/runtime.hpp"
#include "braing3n/base/shape.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorKind::environment, "cuda.cublas", "cuda: ", call, ": ", cublasLtGetStatusString(status));
}

/// What the plans of a context have been asked for.
struct ProductPlanCounts {
  Index made = 0;         // questions to the heuristic
  Index used = 0;         // products and questions answered from what was known
  Index unavailable = 0;  // plans that cuBLASLt does not offer
};

namespace detail {

/// D (m, n) = epilogue(op(A) (m, k) op(B) (k, n) + [C]) with matrices by columns, as cuBLASLt has them.
struct LtProduct {
  struct Matrix {
    const void* data = nullptr;
    Index ld = 0, step = 0;  // elements from column to column, from matrix to matrix of a batch
  };
  Index m = 0, n = 0, k = 0, batch = 1;
  cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  cudaDataType_t operands{}, result{};
  cublasComputeType_t compute{};
  Matrix a, b, c, d;
  bool accumulate = false;  // C counts
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;  // of length m, or what BGRADB writes, of length n
  const void* aux = nullptr;   // (m, n): what GELU is taken of
  Index aux_ld = 0;

  Index rows_a() const { return op_a == CUBLAS_OP_N ? m : k; }
  Index rows_b() const { return op_b == CUBLAS_OP_N ? k : n; }
  cudaDataType_t scale() const { return compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F; }
};

/// The largest power of two, at most 256, that divides an address.
inline std::uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  return static_cast<std::uint32_t>(address == 0 ? 256 : std::min<std::uintptr_t>(address & (~address + 1), 256));
}

struct LtPlan {
  bool available = false;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

/// cuBLASLt's descriptions of a product; made anew for every call, so that nothing of a plan is shared between threads.
class LtDescription {
 public:
  explicit LtDescription(const LtProduct& p) {
    check_cublas(cublasLtMatmulDescInit(&desc_, p.compute, p.scale()), "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(p.op_a));
    set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<std::int32_t>(p.op_b));
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(p.epilogue));
    if (p.bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    if (p.aux != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.aux);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, static_cast<std::int64_t>(p.aux_ld));
    }
    layout(a_, p.operands, p.rows_a(), p.op_a == CUBLAS_OP_N ? p.k : p.m, p.a, p.batch);
    layout(b_, p.operands, p.rows_b(), p.op_b == CUBLAS_OP_N ? p.n : p.k, p.b, p.batch);
    layout(c_, p.result, p.m, p.n, p.accumulate ? p.c : p.d, p.batch);
    layout(d_, p.result, p.m, p.n, p.d, p.batch);
  }
  cublasLtMatmulDesc_t desc() { return &desc_; }
  cublasLtMatrixLayout_t a() { return &a_; }
  cublasLtMatrixLayout_t b() { return &b_; }
  cublasLtMatrixLayout_t c() { return &c_; }
  cublasLtMatrixLayout_t d() { return &d_; }

 private:
  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, V value) {
    check_cublas(cublasLtMatmulDescSetAttribute(&desc_, attribute, &value, sizeof value),
                 "cublasLtMatmulDescSetAttribute");
  }
  static void layout(cublasLtMatrixLayoutOpaque_t& l, cudaDataType_t type, Index rows, Index cols,
                     const LtProduct::Matrix& x, Index batch) {
    check_cublas(cublasLtMatrixLayoutInit(&l, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols),
                                          static_cast<std::int64_t>(x.ld)),
                 "cublasLtMatrixLayoutInit");
    if (batch == 1) return;
    const auto count = static_cast<std::int32_t>(batch);
    const auto step = static_cast<std::int64_t>(x.step);
    check_cublas(cublasLtMatrixLayoutSetAttribute(&l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
                 "cublasLtMatrixLayoutSetAttribute");
    check_cublas(cublasLtMatrixLayoutSetAttribute(&l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
                 "cublasLtMatrixLayoutSetAttribute");
  }

  cublasLtMatmulDescOpaque_t desc_{};
  cublasLtMatrixLayoutOpaque_t a_{}, b_{}, c_{}, d_{};
};

}  // namespace detail

/// The algorithms of one context, one for each kind of product: sizes, leading dimensions, transposes, types, epilogue and how the
/// pointers are aligned. Any thread may ask.
class ProductPlans {
 public:
  explicit ProductPlans(std::size_t workspace) : workspace_(workspace) {}

  /// The plan for products such as this one. The heuristic is asked once.
  detail::LtPlan plan(cublasLtHandle_t handle, const detail::LtProduct& p) {
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = plans_.try_emplace(key(p));
    if (is_new) {
      try {
        at->second = asked(handle, p);
      } catch (const Error&) {
        plans_.erase(at);
        throw;
      }
      ++counts_.made;
      if (!at->second.available) ++counts_.unavailable;
    } else {
      ++counts_.used;
    }
    return at->second;
  }
  ProductPlanCounts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  using Key = std::array<Index, 23>;

  static Key key(const detail::LtProduct& p) {
    using detail::alignment_of;
    // Bits of small fields together: the operations, the three types, the epilogue, whether C counts.
    const Index kind = static_cast<Index>(p.op_a) | static_cast<Index>(p.op_b) << 2 | (p.accumulate ? 1 : 0) << 4 |
                       static_cast<Index>(p.operands) << 8 | static_cast<Index>(p.result) << 16 |
                       static_cast<Index>(p.compute) << 24 | static_cast<Index>(p.epilogue) << 32;
    return {kind,
            p.m,
            p.n,
            p.k,
            p.batch,
            p.a.ld,
            p.b.ld,
            p.accumulate ? p.c.ld : p.d.ld,
            p.d.ld,
            p.a.step,
            p.b.step,
            p.accumulate ? p.c.step : p.d.step,
            p.d.step,
            p.aux_ld,
            p.accumulate && p.c.data == p.d.data,
            p.bias != nullptr,
            p.aux != nullptr,
            alignment_of(p.a.data),
            alignment_of(p.b.data),
            alignment_of(p.accumulate ? p.c.data : p.d.data),
            alignment_of(p.d.data),
            alignment_of(p.bias),
            alignment_of(p.aux)};
  }

  detail::LtPlan asked(cublasLtHandle_t handle, const detail::LtProduct& p) const {
    detail::LtDescription description(p);
    cublasLtMatmulPreferenceOpaque_t preference{};
    check_cublas(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto wish = [&preference](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check_cublas(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
                   "cublasLtMatmulPreferenceSetAttribute");
    };
    wish(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_));
    wish(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, detail::alignment_of(p.a.data));
    wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, detail::alignment_of(p.b.data));
    wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, detail::alignment_of(p.accumulate ? p.c.data : p.d.data));
    wish(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, detail::alignment_of(p.d.data));
    cublasLtMatmulHeuristicResult_t first{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, description.desc(), description.a(), description.b(), description.c(),
                                       description.d(), &preference, 1, &first, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found < 1)) return {};
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    if (first.state != CUBLAS_STATUS_SUCCESS) return {};
    return {true, first.algo, first.workspaceSize};
  }

  std::size_t workspace_;
  mutable std::mutex mutex_;
  std::map<Key, detail::LtPlan> plans_;
  ProductPlanCounts counts_;
};

}  // namespace braing3n::inline BRAING3N_ABI

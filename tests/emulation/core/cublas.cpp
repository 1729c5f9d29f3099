// Products of the emulated cuBLAS: the arguments are checked as cuBLAS checks them, then the project's own product does the work.
#include "cublas_v2.h"

#include <algorithm>
#include <vector>

#include "core/state.hpp"
#include "core/stream.hpp"

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/gemm.hpp"

struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};

namespace emulation::core {
namespace {

using namespace braing3n;

struct Product {
  cublasOperation_t op_a, op_b;
  int m, n, k;
  const void* a;
  int lda;
  const void* b;
  int ldb;
  bool accumulate;
  void* c;
  int ldc;
};

/// Stored by columns, C (m, n) is the transpose of a matrix (n, m) by rows: C^T = op(B)^T op(A)^T.
template <class T>
void multiply(const Product& p, const T* a, const T* b, T* c) {
  thread_local Context<Cpu> cpu{{.threads = 1}};
  GemmCall<T> call;
  call.m = p.n, call.n = p.m, call.k = p.k;
  call.a = b, call.a_row = p.op_b == CUBLAS_OP_N ? p.ldb : 1, call.a_col = p.op_b == CUBLAS_OP_N ? 1 : p.ldb;
  call.b = a, call.b_row = p.op_a == CUBLAS_OP_N ? p.lda : 1, call.b_col = p.op_a == CUBLAS_OP_N ? 1 : p.lda;
  call.c = c, call.c_row = p.ldc;
  call.accumulate = p.accumulate;
  ProductKernel<Cpu>::run(cpu, call);
}

/// Elements from the first to the last of `columns` columns of `rows`, `ld` apart.
std::size_t extent(int rows, int ld, int columns) {
  if (rows == 0 || columns == 0) return 0;
  return static_cast<std::size_t>(ld) * static_cast<std::size_t>(columns - 1) + static_cast<std::size_t>(rows);
}
std::size_t extent_a(const Product& p) {
  return p.op_a == CUBLAS_OP_N ? extent(p.m, p.lda, p.k) : extent(p.k, p.lda, p.m);
}
std::size_t extent_b(const Product& p) {
  return p.op_b == CUBLAS_OP_N ? extent(p.k, p.ldb, p.n) : extent(p.n, p.ldb, p.k);
}

/// bfloat16 operands, float result: the operands are widened, which is exact.
std::vector<float> widened(const void* p, std::size_t n) {
  const auto* const from = static_cast<const bfloat16*>(p);
  std::vector<float> to(n);
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
  return to;
}

void run(const Product& p, cudaDataType_t in, cudaDataType_t out) {
  if (in == CUDA_R_64F) {
    multiply(p, static_cast<const double*>(p.a), static_cast<const double*>(p.b), static_cast<double*>(p.c));
  } else if (in == CUDA_R_32F) {
    multiply(p, static_cast<const float*>(p.a), static_cast<const float*>(p.b), static_cast<float*>(p.c));
  } else if (out == CUDA_R_16BF) {
    multiply(p, static_cast<const bfloat16*>(p.a), static_cast<const bfloat16*>(p.b), static_cast<bfloat16*>(p.c));
  } else {
    const auto a = widened(p.a, extent_a(p)), b = widened(p.b, extent_b(p));
    multiply(p, a.data(), b.data(), static_cast<float*>(p.c));
  }
}

/// The rows of Table "cublasGemmEx supported types" that the library uses.
bool known_types(cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cublasComputeType_t compute) {
  if (a != b) return false;
  if (compute == CUBLAS_COMPUTE_64F) return a == CUDA_R_64F && c == CUDA_R_64F;
  if (a == CUDA_R_32F) return c == CUDA_R_32F;
  return a == CUDA_R_16BF && (c == CUDA_R_16BF || c == CUDA_R_32F);
}

std::size_t size_of(cudaDataType_t type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

/// Whether all three matrices lie in memory of a device. cuBLAS would read elsewhere, or end the program.
bool all_on_device(const Product& p, cudaDataType_t in, cudaDataType_t out) {
  return on_device(p.a, extent_a(p) * size_of(in)) && on_device(p.b, extent_b(p) * size_of(in)) &&
         on_device(p.c, extent(p.m, p.ldc, p.n) * size_of(out));
}

double scalar(const void* p, cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_64F ? *static_cast<const double*>(p)
                                       : static_cast<double>(*static_cast<const float*>(p));
}

}  // namespace
}  // namespace emulation::core

using namespace emulation::core;

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown status";
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext{current_device(), nullptr};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType_t a_type, int lda, const void* b,
                            cudaDataType_t b_type, int ldb, const void* beta, void* c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                    c_type, ldc, 0, 1, compute, algorithm);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType_t a_type,
                                          int lda, long long a_step, const void* b, cudaDataType_t b_type, int ldb,
                                          long long b_step, const void* beta, void* c, cudaDataType_t c_type, int ldc,
                                          long long c_step, int count, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (standing_error() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (handle->device != current_device()) return CUBLAS_STATUS_NOT_INITIALIZED;
  const int a_rows = op_a == CUBLAS_OP_N ? m : k, b_rows = op_b == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || count < 0 || lda < std::max(1, a_rows) || ldb < std::max(1, b_rows) ||
      ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!known_types(a_type, b_type, c_type, compute)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const double scale = scalar(beta, compute);
  if (scalar(alpha, compute) != 1 || (scale != 0 && scale != 1)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto moved = [](const void* p, long long elements, cudaDataType_t type) {
    return const_cast<char*>(static_cast<const char*>(p)) + elements * static_cast<long long>(size_of(type));
  };
  ++counted().products;
  for (int i = 0; i < count; ++i) {
    const Product p{op_a,
                    op_b,
                    m,
                    n,
                    k,
                    moved(a, i * a_step, a_type),
                    lda,
                    moved(b, i * b_step, b_type),
                    ldb,
                    scale == 1,
                    moved(c, i * c_step, c_type),
                    ldc};
    if (!all_on_device(p, a_type, c_type)) {
      add_fault("cuBLAS: a matrix does not lie inside memory of the device");
      return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    submit(handle->stream, [p, a_type, c_type] { run(p, a_type, c_type); });
  }
  return standing_error() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

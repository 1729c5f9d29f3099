// The calls of the emulated cuBLASLt: descriptions, algorithms, products.
#include <algorithm>
#include <string>

#include "core/lt.hpp"
#include "core/state.hpp"
#include "core/stream.hpp"

struct cublasLtContext {
  int device = 0;
};

namespace emulation::core {
namespace {

template <class V>
bool take(V& to, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof(V)) return false;
  std::memcpy(static_cast<void*>(&to), value, bytes);
  return true;
}

cublasStatus_t set(bool done, const std::source_location& at) {
  return done ? CUBLAS_STATUS_SUCCESS
              : refuse(CUBLAS_STATUS_INVALID_VALUE, at, "an attribute that is not known, or a value of another size");
}

/// The largest power of two, at most 16, that divides the address.
std::uint32_t alignment(const void* p) {
  std::uint32_t bytes = 16;
  while (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) bytes /= 2;
  return bytes;
}

std::size_t bytes_of(const Layout& l) {
  return (static_cast<std::size_t>(l.ld) * static_cast<std::size_t>(l.cols - 1) + static_cast<std::size_t>(l.rows)) *
         size_of(l.type);
}

/// Whether everything lies in memory of a device. cuBLASLt would read elsewhere, or end the program.
bool all_on_device(const Problem& p, const Matrices& x) {
  const std::size_t bias = (p.sums_b() ? p.n() : p.m()) * size_of(p.d.type);
  Layout aux = p.d;
  aux.ld = p.desc.aux_ld;
  return on_device(x.a, bytes_of(p.a)) && on_device(x.b, bytes_of(p.b)) && on_device(x.d, bytes_of(p.d)) &&
         (!x.accumulate || on_device(x.c, bytes_of(p.c))) &&
         (!(p.adds_bias() || p.sums_b()) || on_device(p.desc.bias, bias)) &&
         (!p.writes_aux() || on_device(p.desc.aux, bytes_of(aux)));
}

double scalar(const void* p, const Problem& problem) {
  return problem.desc.scale == CUDA_R_64F ? *static_cast<const double*>(p)
                                          : static_cast<double>(*static_cast<const float*>(p));
}

/// What only the call itself shows: pointers, the algorithm, the workspace.
std::string check_call(const Problem& p, const Matrices& x, const Algorithm& algorithm, const void* workspace,
                       std::size_t workspace_bytes) {
  if (algorithm.magic != known_algorithm) return "no algorithm";
  if (algorithm.problem != p.hash()) return "an algorithm of another problem";
  if (algorithm.workspace > workspace_bytes)
    return "a workspace of " + std::to_string(workspace_bytes) + " bytes for an algorithm that wants " +
           std::to_string(algorithm.workspace);
  if (algorithm.workspace > 0 && (alignment(workspace) < 16 || !on_device(workspace, workspace_bytes)))
    return "a workspace outside the device's memory, or not aligned to 16 bytes";
  const void* const pointers[] = {x.a, x.b, x.accumulate ? x.c : x.d, x.d, p.desc.bias, p.desc.aux};
  const char* const names[] = {"A", "B", "C", "D", "the bias", "the auxiliary matrix"};
  for (int i = 0; i < 6; ++i)
    if (pointers[i] != nullptr && alignment(pointers[i]) < algorithm.align[i])
      return std::string(names[i]) + " is aligned to " + std::to_string(alignment(pointers[i])) +
             " bytes, the algorithm wants " + std::to_string(algorithm.align[i]);
  if (x.accumulate && x.c == x.d && p.c.ld != p.d.ld) return "C and D in one place with different layouts";
  return {};
}

}  // namespace

cublasStatus_t refuse(cublasStatus_t status, const std::source_location& at, const std::string& reason) {
  add_refusal(std::string("cuBLASLt: ") + cublasLtGetStatusString(status) + ": " + reason + " at " + at.file_name() +
              ":" + std::to_string(at.line()));
  return status;
}

}  // namespace emulation::core

using namespace emulation::core;

const char* cublasLtGetStatusString(cublasStatus_t status) {
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

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext{current_device()};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type, std::uint64_t rows,
                                        std::uint64_t cols, std::int64_t ld, std::source_location) {
  Layout l;
  l.type = type, l.rows = rows, l.cols = cols, l.ld = ld;
  store(*layout, l);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes, std::source_location at) {
  auto l = opened<Layout>(*layout);
  const bool done = attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT            ? take(l.batch, value, bytes)
                    : attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET ? take(l.step, value, bytes)
                                                                               : false;
  store(*layout, l);
  return set(done, at);
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t desc, cublasComputeType_t compute, cudaDataType_t scale,
                                      std::source_location) {
  Desc d;
  d.compute = compute, d.scale = scale;
  store(*desc, d);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes, std::source_location at) {
  auto d = opened<Desc>(*desc);
  bool done = false;
  if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) done = take(d.op_a, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) done = take(d.op_b, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) done = take(d.epilogue, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) done = take(d.bias, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER) done = take(d.aux, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD) done = take(d.aux_ld, value, bytes);
  store(*desc, d);
  return set(done, at);
}

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference) {
  store(*preference, Preference());
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes, std::source_location at) {
  auto p = opened<Preference>(*preference);
  const int which = static_cast<int>(attribute) - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  bool done = false;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) done = take(p.workspace, value, bytes);
  else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) done = take(p.scheme, value, bytes);
  else if (which >= 0 && which < 4) done = take(p.align[which], value, bytes);
  store(*preference, p);
  return set(done, at);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned,
                                              std::source_location at) {
  *returned = 0;
  if (handle->device != current_device())
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED, at, "a handle of another device");
  if (requested < 1) return refuse(CUBLAS_STATUS_INVALID_VALUE, at, "no algorithm is asked for");
  ++counted().product_plans;
  const Problem p{opened<Desc>(*desc), opened<Layout>(*a), opened<Layout>(*b), opened<Layout>(*c), opened<Layout>(*d)};
  if (const cublasStatus_t status = check(p, at); status != CUBLAS_STATUS_SUCCESS) return status;
  const auto wish = opened<Preference>(*preference);
  Algorithm algorithm;
  algorithm.problem = p.hash();
  // Long sums are cut in pieces, which meet in the workspace.
  const std::uint64_t pieces = 2 * p.m() * p.n() * 4;
  if (p.k() >= 64 && pieces <= wish.workspace) algorithm.workspace = pieces;
  for (int i = 0; i < 4; ++i) algorithm.align[i] = std::min(wish.align[i], 16u);
  algorithm.align[4] = alignment(p.desc.bias), algorithm.align[5] = alignment(p.desc.aux);
  results[0] = {};
  store(results[0].algo, algorithm);
  results[0].workspaceSize = algorithm.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream, std::source_location at) {
  if (standing_error() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (handle->device != current_device() || (stream != nullptr && stream->device != current_device()))
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED, at, "a handle or stream of another device");
  const Problem p{opened<Desc>(*desc), opened<Layout>(*a_layout), opened<Layout>(*b_layout), opened<Layout>(*c_layout),
                  opened<Layout>(*d_layout)};
  if (const cublasStatus_t status = check(p, at); status != CUBLAS_STATUS_SUCCESS) return status;
  const double scale = scalar(beta, p);
  if (scalar(alpha, p) != 1 || (scale != 0 && scale != 1))
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, at, "factors other than 1, and 0 or 1: not in the emulation");
  const Matrices first{a, b, c, d, scale == 1};
  const auto chosen = algorithm == nullptr ? Algorithm{.magic = 0} : opened<Algorithm>(*algorithm);
  if (const std::string wrong = check_call(p, first, chosen, workspace, workspace_bytes); !wrong.empty())
    return refuse(CUBLAS_STATUS_INVALID_VALUE, at, wrong);
  ++counted().products;
  const auto moved = [](const void* from, const Layout& l, int i) -> void* {
    return from == nullptr ? nullptr
                           : const_cast<char*>(static_cast<const char*>(from)) +
                                 i * l.step * static_cast<std::int64_t>(size_of(l.type));
  };
  for (int i = 0; i < p.d.batch; ++i) {
    const Matrices x{moved(a, p.a, i), moved(b, p.b, i), moved(c, p.c, i), moved(d, p.d, i), first.accumulate};
    if (!all_on_device(p, x)) {
      add_fault("cuBLASLt: a matrix does not lie inside memory of the device");
      return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    submit(stream, [p, x, workspace, used = chosen.workspace] {
      if (used > 0) std::memset(workspace, 0xff, used);  // nobody else may count on what lies there
      run(p, x);
    });
  }
  return standing_error() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

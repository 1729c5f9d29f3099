// cuBLASLt inside the emulation: what its opaque structs hold, and what is checked before a product.
#pragma once

#include <cstring>
#include <source_location>
#include <string>

#include "cublasLt.h"

namespace emulation::core {

constexpr std::uint64_t known_layout = 0x4c61796f7574, known_desc = 0x44657363, known_preference = 0x50726566,
                        known_algorithm = 0x416c676f;

struct Layout {
  std::uint64_t magic = known_layout;
  cudaDataType_t type{};
  std::int32_t batch = 1;
  std::uint64_t rows = 0, cols = 0;
  std::int64_t ld = 0, step = 0;
};
struct Desc {
  std::uint64_t magic = known_desc;
  cublasComputeType_t compute{};
  cudaDataType_t scale{};
  std::int32_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  void* aux = nullptr;
  std::int64_t aux_ld = 0;
};
struct Preference {
  std::uint64_t magic = known_preference;
  std::uint64_t workspace = 0;
  std::uint32_t scheme = 7;
  std::uint32_t align[4] = {256, 256, 256, 256};
};
struct Algorithm {
  std::uint64_t magic = known_algorithm;
  std::uint64_t problem = 0;    // a hash
  std::uint64_t workspace = 0;  // bytes
  std::uint32_t align[6] = {};  // of A, B, C, D, bias, aux
};

template <class To, class Opaque>
To opened(const Opaque& from) {
  static_assert(sizeof(To) <= sizeof(Opaque));
  To to;
  std::memcpy(static_cast<void*>(&to), &from, sizeof(To));
  return to;
}
template <class From, class Opaque>
void store(Opaque& to, const From& from) {
  std::memcpy(&to, &from, sizeof(From));
}

/// D (m, n) = epilogue(op(A) (m, k) op(B) (k, n) + C), all by columns.
struct Problem {
  Desc desc;
  Layout a, b, c, d;

  bool plain_a() const { return desc.op_a == CUBLAS_OP_N; }
  bool plain_b() const { return desc.op_b == CUBLAS_OP_N; }
  std::uint64_t m() const { return d.rows; }
  std::uint64_t n() const { return d.cols; }
  std::uint64_t k() const { return plain_a() ? a.cols : a.rows; }
  bool writes_aux() const { return (desc.epilogue & 128) != 0; }
  bool adds_bias() const { return (desc.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
  bool sums_b() const { return desc.epilogue == CUBLASLT_EPILOGUE_BGRADB; }
  bool gelu() const { return (desc.epilogue & CUBLASLT_EPILOGUE_GELU) != 0; }
  std::uint64_t hash() const;
};

std::size_t size_of(cudaDataType_t type);

/// Remembers the refusal, with the place of the call, and returns the status.
cublasStatus_t refuse(cublasStatus_t status, const std::source_location& at, const std::string& reason);

/// Whether cuBLASLt knows such a product at all.
cublasStatus_t check(const Problem& p, const std::source_location& at);

struct Matrices {
  const void *a, *b, *c;
  void* d;
  bool accumulate;
};
/// Does the work of one product of a batch.
void run(const Problem& p, const Matrices& x);

}  // namespace emulation::core

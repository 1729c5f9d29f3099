// The arithmetic of the emulated cuBLASLt: the project's own product, then the epilogue on sums that are not rounded yet.
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/lt.hpp"

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/gemm.hpp"
#include "braing3n/base/functors.hpp"

namespace emulation::core {
namespace {

using namespace braing3n;

std::size_t extent(const Layout& l) {
  return static_cast<std::size_t>(l.ld) * static_cast<std::size_t>(l.cols - 1) + static_cast<std::size_t>(l.rows);
}

/// TensorFloat-32 keeps 10 bits of the fraction.
float tf32(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0xfffu + ((bits >> 13) & 1u)) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

/// The elements as they are multiplied.
template <class A>
std::vector<A> operand(const void* p, const Layout& l, bool reduced) {
  std::vector<A> to(extent(l));
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (l.type == CUDA_R_16BF) to[i] = static_cast<A>(static_cast<float>(static_cast<const bfloat16*>(p)[i]));
    else to[i] = static_cast<const A*>(p)[i];
    if constexpr (std::is_same_v<A, float>)
      if (reduced && std::isfinite(to[i])) to[i] = tf32(to[i]);
  }
  return to;
}

/// Stored by columns, D (m, n) is the transpose of a matrix (n, m) by rows: D^T = op(B)^T op(A)^T.
template <class A>
std::vector<A> product(const Problem& p, const std::vector<A>& a, const std::vector<A>& b) {
  thread_local Context<Cpu> cpu{{.threads = 1}};
  std::vector<A> sums(p.m() * p.n());
  GemmCall<A> call;
  call.m = static_cast<Index>(p.n()), call.n = static_cast<Index>(p.m()), call.k = static_cast<Index>(p.k());
  call.a = b.data(), call.a_row = p.plain_b() ? p.b.ld : 1, call.a_col = p.plain_b() ? 1 : p.b.ld;
  call.b = a.data(), call.b_row = p.plain_a() ? p.a.ld : 1, call.b_col = p.plain_a() ? 1 : p.a.ld;
  call.c = sums.data(), call.c_row = static_cast<Index>(p.m());
  ProductKernel<Cpu>::run(cpu, call);
  return sums;
}

template <class A, class D>
void sum_columns(const Problem& p, const std::vector<A>& b) {
  for (std::uint64_t j = 0; j < p.n(); ++j) {
    double sum = 0;
    for (std::uint64_t l = 0; l < p.k(); ++l) {
      const std::uint64_t row = p.plain_b() ? l : j, col = p.plain_b() ? j : l;
      sum += static_cast<double>(b[col * static_cast<std::uint64_t>(p.b.ld) + row]);
    }
    static_cast<D*>(p.desc.bias)[j] = static_cast<D>(static_cast<A>(sum));
  }
}

template <class A, class D>
void finish(const Problem& p, const Matrices& x, const std::vector<A>& sums, const std::vector<A>& b) {
  const auto* const c = static_cast<const D*>(x.c);
  const auto* const bias = static_cast<const D*>(p.desc.bias);
  for (std::uint64_t j = 0; j < p.n(); ++j)
    for (std::uint64_t i = 0; i < p.m(); ++i) {
      A v = sums[j * p.m() + i];
      if (x.accumulate) v += static_cast<A>(c[j * static_cast<std::uint64_t>(p.c.ld) + i]);
      if (p.adds_bias()) v += static_cast<A>(bias[i]);
      if (p.writes_aux())
        static_cast<D*>(p.desc.aux)[j * static_cast<std::uint64_t>(p.desc.aux_ld) + i] = static_cast<D>(v);
      if (p.gelu()) v = GeluTanh{}.value(v);
      static_cast<D*>(x.d)[j * static_cast<std::uint64_t>(p.d.ld) + i] = static_cast<D>(v);
    }
  if (p.sums_b()) sum_columns<A, D>(p, b);
}

}  // namespace

void run(const Problem& p, const Matrices& x) {
  const bool reduced = p.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const auto in = [&]<class A, class D>(A, D) {
    const auto a = operand<A>(x.a, p.a, reduced), b = operand<A>(x.b, p.b, reduced);
    finish<A, D>(p, x, product(p, a, b), b);
  };
  if (p.d.type == CUDA_R_64F) in(double{}, double{});
  else if (p.d.type == CUDA_R_32F) in(float{}, float{});
  else in(float{}, bfloat16{});
}

}  // namespace emulation::core

// The built-in tables of heavy kernels, by name and by machine.
//
//   avx512bf16  AVX-512, bfloat16 products in bfloat16 arithmetic
//   avx512      AVX-512, bfloat16 products computed as float
//   avx2        AVX2 + FMA; element-wise loops stay at AVX2 as well: the speed of a machine without AVX-512
//   portable    plain loops for any x86-64; element-wise loops stay at the baseline as well
// Others come by including their header and handing the table to the context: backend/cpu/providers/eigen_provider.hpp,
// backend/cpu/providers/onednn.hpp.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <string>
#include <string_view>

#include "braing3n/backend/cpu/conv/dot.hpp"
#include "braing3n/backend/cpu/conv/kernels.hpp"
#include "braing3n/backend/cpu/conv/outer_avx2.hpp"
#include "braing3n/backend/cpu/conv/outer_avx512.hpp"
#include "braing3n/backend/cpu/gemm/micro_avx2.hpp"
#include "braing3n/backend/cpu/gemm/micro_avx512.hpp"
#include "braing3n/backend/cpu/gemm/micro_portable.hpp"
#include "braing3n/backend/cpu/gemm/packed.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// A table per instruction set. A template, so that braing3n::compiled can hold its kernels once.
template <Isa isa>
const CpuProvider& builtin_provider() {
  static constexpr CpuProvider table = [] {
    CpuProvider p;
    p.isa = isa;
    if constexpr (isa >= Isa::avx512) {
      p.name = isa == Isa::avx512 ? "avx512" : "avx512bf16";
      p.gemm_f32 = PackedGemm<float, MicroAvx512<float>>::kernels();
      p.gemm_f64 = PackedGemm<double, MicroAvx512<double>>::kernels();
      if constexpr (isa == Isa::avx512bf16) p.gemm_bf16 = PackedGemm<bfloat16, MicroAvx512<bfloat16>>::kernels();
      else p.gemm_bf16 = PackedGemm<bfloat16, MicroAvx512<float>>::kernels();
      p.conv_f32 = direct_convolution<MicroAvx512<float>, OuterAvx512<float>, DotAvx512>();
      if constexpr (isa == Isa::avx512bf16) p.conv_bf16 = direct_convolution<MicroAvx512<bfloat16>>();
    } else if constexpr (isa == Isa::avx2) {
      p.name = "avx2";
      p.limits_isa = true;
      p.gemm_f32 = PackedGemm<float, MicroAvx2<float>>::kernels();
      p.gemm_f64 = PackedGemm<double, MicroAvx2<double>>::kernels();
      p.gemm_bf16 = PackedGemm<bfloat16, MicroAvx2<float>>::kernels();
      p.conv_f32 = direct_convolution<MicroAvx2<float>, OuterAvx2<float>, DotAvx2>();
    } else {
      p.name = "portable";
      p.limits_isa = true;
      p.gemm_f32 = PackedGemm<float, MicroPortable<float>>::kernels();
      p.gemm_f64 = PackedGemm<double, MicroPortable<double>>::kernels();
      p.gemm_bf16 = PackedGemm<bfloat16, MicroPortable<float>>::kernels();
    }
    return p;
  }();
  return table;
}

// The target braing3n::compiled holds the kernels and defines BRAING3N_COMPILED; a program that links it need not compile them.
#ifdef BRAING3N_COMPILED
extern template const CpuProvider& builtin_provider<Isa::avx512bf16>();
extern template const CpuProvider& builtin_provider<Isa::avx512>();
extern template const CpuProvider& builtin_provider<Isa::avx2>();
extern template const CpuProvider& builtin_provider<Isa::baseline>();
#endif

}  // namespace detail

// Templates on the type of the table: a file that makes no context compiles none of the kernels.

/// All built-in tables, fastest first. Those above detect_isa() must not be used.
template <std::same_as<CpuProvider> P = CpuProvider>
std::span<const P* const> builtin_cpu_providers() {
  static const std::array<const P*, 4> all = {
      &detail::builtin_provider<Isa::avx512bf16>(), &detail::builtin_provider<Isa::avx512>(),
      &detail::builtin_provider<Isa::avx2>(), &detail::builtin_provider<Isa::baseline>()};
  return all;
}

/// The fastest table that this machine can run.
template <std::same_as<CpuProvider> P = CpuProvider>
const P& default_cpu_provider() {
  const Isa isa = detect_isa();
  for (const P* p : builtin_cpu_providers<P>())
    if (p->isa <= isa) return *p;
  return detail::builtin_provider<Isa::baseline>();
}

/// The table with this name, for `--provider NAME`. `more` are further tables the program knows (Eigen, oneDNN).
/// Throws Error (argument) for an unknown name, with the known ones; whether the machine can run it, the context checks.
template <std::same_as<CpuProvider> P = CpuProvider>
const P& find_cpu_provider(std::string_view name, std::span<const CpuProvider* const> more = {}) {
  std::string known;
  for (const auto& list : {builtin_cpu_providers<P>(), more})
    for (const P* p : list) {
      if (name == p->name) return *p;
      known += (known.empty() ? "" : ", ") + std::string(p->name);
    }
  fail(ErrorKind::argument, "provider.name", "provider: expected one of ", known, ", got \"", name, "\"");
}

}  // namespace braing3n::inline BRAING3N_ABI

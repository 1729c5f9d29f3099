// A provider on oneDNN (link braing3n::onednn).
//
//   Context<Cpu> ctx({.provider = &onednn_cpu_provider()});
//
// oneDNN is called from our own pool, with one thread each, on pieces cut by shape: results do not depend on the number of threads,
// and no OpenMP workers spin beside ours.
#pragma once

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/cpu/providers/onednn_conv.hpp"
#include "braing3n/backend/cpu/providers/onednn_gemm.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Convolutions and products of float (dnnl_sgemm; packed: matmul) and bfloat16 (matmul). Double products are the built-in ones.
inline const CpuProvider& onednn_cpu_provider() {
  static const CpuProvider table = [] {
    const CpuProvider& builtin = default_cpu_provider();
    CpuProvider p = builtin;
    p.name = "onednn";
    p.gemm_f32 = detail::onednn_gemm_kernels<float>();
    p.conv_f32.forward = &detail::OnednnConvolutions<float>::forward;
    p.conv_f32.backward_input = &detail::OnednnConvolutions<float>::backward_input;
    // Without bfloat16 arithmetic oneDNN would fall back to its reference loops.
    if (detect_isa() >= Isa::avx512bf16) {
      p.gemm_bf16 = detail::onednn_gemm_kernels<bfloat16>();
      p.conv_bf16.forward = &detail::OnednnConvolutions<bfloat16>::forward;
      p.conv_bf16.backward_input = &detail::OnednnConvolutions<bfloat16>::backward_input;
    }
    return p;
  }();
  return table;
}

}  // namespace braing3n::inline BRAING3N_ABI

// What follows a matrix product while its tile is still in cache: bias, stored preactivation, activation, residual.
#pragma once

#include "braing3n/backend/cpu/providers/provider.hpp"
#include "braing3n/base/functors.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

template <Isa isa, class Functor>
void activate(float* v, Index n) {
  vectorized_for<isa>([&]() BRAING3N_LAMBDA_INLINE {
    for (Index j = 0; j < n; ++j) v[j] = Functor().value(v[j]);
  });
}
/// The elementary functions of double are the standard library's, for every instruction set the same.
template <Isa, class Functor>
void activate(double* v, Index n) {
  for (Index j = 0; j < n; ++j) v[j] = Functor().value(v[j]);
}

template <Isa isa, class Acc>
void activate(Activation activation, Acc* v, Index n) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::gelu:
      return activate<isa, Gelu>(v, n);
    case Activation::gelu_tanh:
      return activate<isa, GeluTanh>(v, n);
    case Activation::silu:
      return activate<isa, Silu>(v, n);
  }
}

/// v[j] = sums[j] [+ c[j]] [+ bias[j]], kept as preactivation if asked.
template <Isa isa, class T>
void begin_strip(accum_t<T>* v, const accum_t<T>* sums, const T* add, const T* bias, T* keep, Index n) {
  vectorized_for<isa>([&]() BRAING3N_LAMBDA_INLINE {
    for (Index j = 0; j < n; ++j) v[j] = sums[j];
    if (add != nullptr)
      for (Index j = 0; j < n; ++j) v[j] += static_cast<accum_t<T>>(add[j]);
    if (bias != nullptr)
      for (Index j = 0; j < n; ++j) v[j] += static_cast<accum_t<T>>(bias[j]);
    if (keep != nullptr)
      for (Index j = 0; j < n; ++j) keep[j] = static_cast<T>(v[j]);
  });
}

/// c[j] = v[j] [+ residual[j]]
template <Isa isa, class T>
void end_strip(T* c, accum_t<T>* v, const T* residual, Index n) {
  vectorized_for<isa>([&]() BRAING3N_LAMBDA_INLINE {
    if (residual != nullptr)
      for (Index j = 0; j < n; ++j) v[j] += static_cast<accum_t<T>>(residual[j]);
    for (Index j = 0; j < n; ++j) c[j] = static_cast<T>(v[j]);
  });
}

/// Finishes rows [row, row + rows), columns [col, col + cols) of C from the sums in `tile`, which may be C itself (T = accum_t<T>,
/// `add` false). `add`: C += instead of C =. Every strip is read whole before it is written, so `residual` may be C.
template <Isa isa, class T>
void finish_tile(const GemmCall<T>& call, bool add, Index row, Index rows, Index col, Index cols,
                 const accum_t<T>* tile, Index tile_row) {
  constexpr Index strip = 256;
  alignas(64) accum_t<T> v[strip];
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; j += strip) {
      const Index n = cols - j < strip ? cols - j : strip, at = col + j;
      T* const c = call.c + (row + i) * call.c_row + at;
      begin_strip<isa, T>(
          v, tile + i * tile_row + j, add ? c : nullptr, call.bias != nullptr ? call.bias + at : nullptr,
          call.preactivation != nullptr ? call.preactivation + (row + i) * call.c_row + at : nullptr, n);
      activate<isa>(call.activation, v, n);
      end_strip<isa, T>(c, v, call.residual != nullptr ? call.residual + (row + i) * call.residual_row + at : nullptr,
                        n);
    }
  }
}

/// The same for an instruction set known at run time.
template <class T>
void finish_tile(Isa isa, const GemmCall<T>& call, bool add, Index row, Index rows, Index col, Index cols,
                 const accum_t<T>* tile, Index tile_row) {
  const auto finish = isa >= Isa::avx512 ? &finish_tile<Isa::avx512, T>
                      : isa == Isa::avx2 ? &finish_tile<Isa::avx2, T>
                                         : &finish_tile<Isa::baseline, T>;
  finish(call, add, row, rows, col, cols, tile, tile_row);
}

}  // namespace braing3n::inline BRAING3N_ABI::detail

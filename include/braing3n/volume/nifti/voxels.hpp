// Stored voxels of a NIfTI file -> float32 in the library's order: byte order, element type, slope and transposition in one
// pass through a buffer that fits the cache.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/volume/nifti/header.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
BRAING3N_INLINE T load_voxel(const std::byte* at, bool swap) {
  T v;
  if constexpr (sizeof(T) == 1) {
    std::memcpy(&v, at, 1);
  } else {
    using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                    std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
    Bits bits;
    std::memcpy(&bits, at, sizeof(T));
    if (swap) {
      if constexpr (sizeof(T) == 2) bits = __builtin_bswap16(bits);
      else if constexpr (sizeof(T) == 4) bits = __builtin_bswap32(bits);
      else bits = __builtin_bswap64(bits);
    }
    v = __builtin_bit_cast(T, bits);
  }
  return v;
}

/// Converts `slices` slices (file order: first axis next to each other) into result (X, Y, Z), slices [z0, z0 + slices).
/// value = slope * stored + intercept in double, then rounded to float once.
template <class T>
void place_slices(Context<Cpu>& ctx, const std::byte* raw, const NiftiHeader& h, Index z0, Index slices,
                  float* result) {
  const Extent3 n = h.shape();
  const bool swap = h.big_endian != (std::endian::native == std::endian::big);
  const double slope = h.slope, intercept = h.intercept;
  const bool scaled = h.scaled;
  constexpr Index tile = 16;
  ctx.parallel_range(n[1], std::max<Index>(1, 8192 / std::max<Index>(1, n[0])), [&](Index begin, Index end) {
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      float block[tile][tile];  // [x][z]
      for (Index y = begin; y < end; ++y)
        for (Index x0 = 0; x0 < n[0]; x0 += tile) {
          const Index width = std::min(tile, n[0] - x0);
          for (Index z = 0; z < slices; ++z) {
            const std::byte* line = raw + static_cast<std::size_t>((z * n[1] + y) * n[0] + x0) * sizeof(T);
            for (Index x = 0; x < width; ++x) {
              const T stored = load_voxel<T>(line + static_cast<std::size_t>(x) * sizeof(T), swap);
              block[x][z] = scaled ? static_cast<float>(slope * static_cast<double>(stored) + intercept)
                                   : static_cast<float>(stored);
            }
          }
          for (Index x = 0; x < width; ++x) {
            float* out = result + ((x0 + x) * n[1] + y) * n[2] + z0;
            for (Index z = 0; z < slices; ++z) out[z] = block[x][z];
          }
        }
    });
  });
}

inline void place_slices(Context<Cpu>& ctx, const std::byte* raw, const NiftiHeader& h, Index z0, Index slices,
                         float* result) {
  switch (h.type.type) {
    case NiftiType::uint8:
      return place_slices<std::uint8_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int8:
      return place_slices<std::int8_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint16:
      return place_slices<std::uint16_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int16:
      return place_slices<std::int16_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint32:
      return place_slices<std::uint32_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int32:
      return place_slices<std::int32_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::uint64:
      return place_slices<std::uint64_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::int64:
      return place_slices<std::int64_t>(ctx, raw, h, z0, slices, result);
    case NiftiType::float32:
      return place_slices<float>(ctx, raw, h, z0, slices, result);
    case NiftiType::float64:
      return place_slices<double>(ctx, raw, h, z0, slices, result);
    default:
      fail(ErrorKind::dtype, "nifti.type", "expected an element type with one real value per voxel, got ", h.type.name);
  }
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI

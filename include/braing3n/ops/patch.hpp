// Patches: a volume cut into a grid of boxes, one token each.
//
//   volume (N, X, Y, Z, C)  <->  tokens (N, L, p0 p1 p2 C),  L = (X / p0) (Y / p1) (Z / p2)
// Token index: row-major over the grid, (i (Y / p1) + j) (Z / p2) + k. Inside a token: row-major over (p0, p1, p2, channel),
// the channel fastest. This is the order of the published masked autoencoders carried to three axes, so patchify followed by
// a linear layer is a convolution whose stride is its kernel.
#pragma once

#include <array>

#include "braing3n/backend/kernels.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Extents of one patch along the three spatial axes, in voxels.
using PatchExtents = std::array<Index, 3>;

namespace detail {

/// Copies one line of voxels (fixed n, x, y) from or to the row it has in each of the tokens it crosses.
template <class T, bool to_tokens>
struct PatchLine {
  const T* from;
  T* to;
  Index x, y, line;           // voxels; elements of a line (Z C)
  Index p0, p1, row;          // patch extents; elements of one row of a patch (p2 C)
  Index grid1, grid2, token;  // tokens along axes 1 and 2; elements of a token
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const {
    const Index iy = r % y, nx = r / y, ix = nx % x, n = nx / x;
    const Index first_token = ((n * (x / p0) + ix / p0) * grid1 + iy / p1) * grid2;
    const Index inside = first_token * token + (ix % p0 * p1 + iy % p1) * row;
    if constexpr (to_tokens) return {to + inside, from + r * line, token, row};
    else return {to + r * line, from + inside, row, token};
  }
};

template <bool to_tokens, class T, Backend B>
Tensor<T, B> move_patches(const Tensor<T, B>& from, const Shape& volume, const PatchExtents& p, const Shape& result) {
  Tensor<T, B> to(from.context(), result);
  const Index c = volume[4], grid2 = volume[3] / p[2];
  copy_rows(from.context(), volume.product(0, 3), grid2, p[2] * c,
            PatchLine<T, to_tokens>{from.data(), to.data(), volume[1], volume[2], volume[3] * c, p[0], p[1], p[2] * c,
                                    volume[2] / p[1], grid2, p[0] * p[1] * p[2] * c});
  return to;
}

}  // namespace detail

/// Shape (N, L, p0 p1 p2 C) of the tokens of a volume. Throws Error (shape) unless every extent is a multiple of the patch's.
inline Shape token_shape(const Shape& volume, const PatchExtents& p) {
  if (volume.rank() != 5)
    fail(ErrorKind::shape, "op.rank", "patchify: volume has shape ", volume, ", expected (N, X, Y, Z, C)");
  Index tokens = 1, width = volume[4];
  for (int a = 0; a < 3; ++a) {
    const Index extent = p[static_cast<std::size_t>(a)];
    if (extent < 1 || volume[a + 1] % extent != 0)
      fail(ErrorKind::shape, "patch.extent", "patchify: expected a multiple of the patch ",
           Shape(std::span<const Index>(p)), " along axis ", a, ", got the volume ", volume);
    tokens *= volume[a + 1] / extent;
    width *= extent;
  }
  return Shape{volume[0], tokens, width};
}

/// volume (N, X, Y, Z, C) -> tokens (N, L, p0 p1 p2 C).
template <class T, Backend B>
Tensor<T, B> patchify_forward(const Tensor<T, B>& volume, const PatchExtents& patch) {
  require_elements("patchify", volume);
  return detail::move_patches<true>(volume, volume.shape(), patch, token_shape(volume.shape(), patch));
}

/// tokens (N, L, p0 p1 p2 C) -> volume of the given shape (N, X, Y, Z, C), the inverse of patchify_forward.
template <class T, Backend B>
Tensor<T, B> unpatchify_forward(const Tensor<T, B>& tokens, const Shape& volume, const PatchExtents& patch) {
  require_elements("unpatchify", tokens);
  require_shape("unpatchify", "tokens", tokens, token_shape(volume, patch));
  return detail::move_patches<false>(tokens, volume, patch, volume);
}

/// Each is a permutation of elements, so the gradient of one is the other.
template <class T, Backend B>
Tensor<T, B> patchify_backward(const Tensor<T, B>& dy, const Shape& volume, const PatchExtents& patch) {
  return unpatchify_forward(dy, volume, patch);
}
template <class T, Backend B>
Tensor<T, B> unpatchify_backward(const Tensor<T, B>& dy, const PatchExtents& patch) {
  return patchify_forward(dy, patch);
}

}  // namespace braing3n::inline BRAING3N_ABI

// The directions in which training latents differ most.
#pragma once

#include <concepts>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/linalg/subspace_iteration.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Leading eigenvalues and eigenvectors (rank, width) of the covariance of `rows` centred latents, by four rounds of subspace iteration.
/// blocks(visit) passes them to visit(Tensor<double, Cpu> (n, width)), block by block.
template <std::same_as<Cpu> B, class Blocks>
LeadingEigen leading_latents(Context<B>& ctx, Index width, Index rank, Index rows, Blocks&& blocks) {
  using Matrix = Tensor<double, Cpu>;
  return subspace_iteration(ctx, width, rank, 4, [&](const Matrix& directions) {
    Matrix sum = Matrix::zeros(ctx, directions.shape());
    blocks([&](const Matrix& x) {
      sum = add_scaled_forward(sum, matmul_forward(matmul_forward(directions, x, {.transpose_b = true}), x),
                               1.0 / static_cast<double>(rows));
    });
    return sum;
  });
}

}  // namespace braing3n::inline BRAING3N_ABI::detail

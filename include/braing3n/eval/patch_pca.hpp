// Principal components of patches: the best linear code of a patch on its own.
//
// A patch p (P voxels) becomes d values z = V (p - m) and is reconstructed as m + V^T z; V holds the leading eigenvectors of the
// covariance of the training patches, m their mean. With d' components it has as many values as a tokenizer's latents.
#pragma once

#include <concepts>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/ops/patch.hpp"

namespace braing3n::inline BRAING3N_ABI {

class PatchPca {
 public:
  explicit PatchPca(const PatchExtents& patch) : patch_(patch) {}

  /// volume (1, X, Y, Z, 1) of the training set.
  void add(const Tensor<float, Cpu>& volume) {
    const Tensor<float, Cpu> patches = patchify_forward(volume, patch_);
    const Index rows = patches.dim(0) * patches.dim(1), width = patches.dim(2);
    const Tensor<double, Cpu> p = cast<double>(patches).reshape({rows, width});
    const Tensor<double, Cpu> product = matmul_forward(p, p, {.transpose_a = true});
    if (count_ == 0) {
      gram_ = product;
      sum_.assign(static_cast<std::size_t>(width), 0.0);
    } else {
      require_same_shape("patch pca", gram_, product);
      double* to = gram_.data();
      const double* from = product.data();
      volume.context().parallel_range(gram_.size(), 65536, [=](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) to[i] += from[i];
      });
    }
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < width; ++c) sum_[static_cast<std::size_t>(c)] += p.data()[r * width + c];
    count_ += rows;
  }

  /// Ends the collection. Throws Error (argument) without patches or for more components than voxels in a patch.
  template <std::same_as<Cpu> B>
  void fit(Context<B>& ctx, Index components) {
    if (count_ == 0) fail(ErrorKind::argument, "pca.none", "patch pca: there are no training patches");
    const Index width = gram_.dim(0);
    for (double& s : sum_) s /= static_cast<double>(count_);
    for (Index i = 0; i < width; ++i)
      for (Index j = 0; j < width; ++j)
        gram_.data()[i * width + j] = gram_.data()[i * width + j] / static_cast<double>(count_) -
                                      sum_[static_cast<std::size_t>(i)] * sum_[static_cast<std::size_t>(j)];
    eigen_ = leading_eigen(ctx, gram_, components);
    gram_ = {};
  }
  const LeadingEigen& components() const { return eigen_; }

  /// volume (1, X, Y, Z, 1) through d values per patch and back.
  Tensor<float, Cpu> reconstruct(const Tensor<float, Cpu>& volume) const {
    if (eigen_.values.empty()) fail(ErrorKind::state, "pca.fit", "patch pca: not fitted yet");
    const Tensor<float, Cpu> patches = patchify_forward(volume, patch_);
    const Index rows = patches.dim(0) * patches.dim(1), width = patches.dim(2);
    Tensor<double, Cpu> p = cast<double>(patches).reshape({rows, width});
    for (Index i = 0; i < p.size(); ++i) p.data()[i] -= sum_[static_cast<std::size_t>(i % width)];
    const Tensor<double, Cpu> z = matmul_forward(p, eigen_.vectors, {.transpose_b = true});
    Tensor<double, Cpu> back = matmul_forward(z, eigen_.vectors);
    for (Index i = 0; i < back.size(); ++i) back.data()[i] += sum_[static_cast<std::size_t>(i % width)];
    return unpatchify_forward(cast<float>(back).reshape(patches.shape()), volume.shape(), patch_);
  }

 private:
  PatchExtents patch_;
  Index count_ = 0;
  std::vector<double> sum_;   // (P); after fit the mean
  Tensor<double, Cpu> gram_;  // (P, P)
  LeadingEigen eigen_;
};

}  // namespace braing3n::inline BRAING3N_ABI

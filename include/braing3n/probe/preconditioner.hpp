// An approximate inverse of the Hessians of all fits, made from one Gram matrix.
//
// The Hessian of a fit is X^T D X + c I with non-negative weights D. Its stand-in is h (G / n + (c / h) I), G = X^T X over all
// rows and h = sum of D: exact for least squares on all rows, and within a small factor for logistic losses. It depends on the
// fit through the ratio c / h alone, which is rounded to a power of two, so that a few factorisations serve hundreds of fits.
// With more features than rows the inverse goes through the rows instead (Woodbury):
//   (h G / n + c I)^-1 r = (r - X^T (X X^T + n (c / h) I)^-1 X r) / c.
#pragma once

#include <cmath>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "braing3n/linalg/llt.hpp"
#include "braing3n/probe/design.hpp"
#include "braing3n/probe/device_preconditioner.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The form for a GPU is in device_preconditioner.hpp.
template <class T>
class GramPreconditioner<T, Cpu> {
 public:
  explicit GramPreconditioner(const Design<T, Cpu>& design)
      : design_(&design), dual_(design.features() > design.rows()), size_(dual_ ? design.rows() : design.features()),
        gram_(Tensor<double, Cpu>::zeros(design.context(), {size_, size_})) {
    if (dual_) row_gram();
    else feature_gram();
  }

  struct Row {
    double* values;    // (features), replaced by the solution
    double curvature;  // h
    double penalty;    // c
  };

  /// Applies the inverse to every row. Rows with the same rounded ratio share one factorisation.
  void apply(std::span<Row> rows) {
    std::vector<std::vector<std::size_t>> groups;
    std::vector<int> exponents;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      const double ratio = row.curvature > 0 ? row.penalty / row.curvature : 1e30;
      if (ratio > 1e6) {  // the penalty is all there is
        for (Index j = 0; j < design_->features(); ++j) row.values[j] /= row.penalty;
        continue;
      }
      const int exponent = static_cast<int>(std::lround(std::log2(ratio)));
      std::size_t g = 0;
      while (g < exponents.size() && exponents[g] != exponent) ++g;
      if (g == exponents.size()) {
        exponents.push_back(exponent);
        groups.emplace_back();
      }
      groups[g].push_back(i);
    }
    for (std::size_t g = 0; g < groups.size(); ++g) solve(rows, groups[g], factor(exponents[g]));
  }

 private:
  static constexpr std::size_t most_bytes = std::size_t{48} << 20;  // of kept factorisations

  struct Kept {
    int exponent;
    std::shared_ptr<const Llt<double>> factor;
  };

  std::shared_ptr<const Llt<double>> factor(int exponent) {
    for (auto k = kept_.begin(); k != kept_.end(); ++k)
      if (k->exponent == exponent) {
        kept_.splice(kept_.begin(), kept_, k);
        return kept_.front().factor;
      }
    while (!kept_.empty() && (kept_.size() + 1) * gram_.bytes() > most_bytes) kept_.pop_back();
    std::shared_ptr<const Llt<double>> made;
    for (int more = 0; made == nullptr; more += 2) {
      try {
        made = make_factor(std::exp2(exponent + more));
      } catch (const Error& e) {
        // A weak penalty leaves a matrix that rounding makes indefinite; a stronger one serves as well, only less closely.
        if (e.id() != "llt.indefinite" || more > 60) throw;
      }
    }
    kept_.push_front({exponent, made});
    return made;
  }

  std::shared_ptr<const Llt<double>> make_factor(double ratio) const {
    const double n = static_cast<double>(design_->rows());
    const std::span<const double> gram(gram_.data(), static_cast<std::size_t>(gram_.size()));
    return std::make_shared<const Llt<double>>(
        llt<double>(design_->context(), gram, size_,
                    dual_ ? LltOptions{.shift = n * ratio} : LltOptions{.scale = 1.0 / n, .shift = ratio}));
  }

  void solve(std::span<Row> rows, const std::vector<std::size_t>& group,
             const std::shared_ptr<const Llt<double>>& factor) {
    const Index d = design_->features(), count = static_cast<Index>(group.size());
    Tensor<double, Cpu> right(design_->context(), {count, d});
    for (Index g = 0; g < count; ++g)
      std::copy_n(rows[group[static_cast<std::size_t>(g)]].values, d, right.data() + g * d);
    if (!dual_) {
      llt_solve<double>(*factor, {right.data(), static_cast<std::size_t>(right.size())});
      for (Index g = 0; g < count; ++g) {
        const Row& row = rows[group[static_cast<std::size_t>(g)]];
        for (Index j = 0; j < d; ++j) row.values[j] = right.data()[g * d + j] / row.curvature;
      }
      return;
    }
    const Index n = design_->rows();
    Tensor<double, Cpu> inner(design_->context(), {count, n}), back(design_->context(), {count, d});
    design_->template sweep<double>(count, right.data(), nullptr, nullptr,
                                    [&](Index, Index first, Index rows_here, double* values) {
                                      for (Index r = 0; r < rows_here; ++r)
                                        for (Index g = 0; g < count; ++g)
                                          inner.data()[g * n + first + r] = values[r * count + g];
                                    });
    llt_solve<double>(*factor, {inner.data(), static_cast<std::size_t>(inner.size())});
    design_->template sweep<double>(count, nullptr, nullptr, back.data(),
                                    [&](Index, Index first, Index rows_here, double* values) {
                                      for (Index r = 0; r < rows_here; ++r)
                                        for (Index g = 0; g < count; ++g)
                                          values[r * count + g] = inner.data()[g * n + first + r];
                                    });
    for (Index g = 0; g < count; ++g) {
      const Row& row = rows[group[static_cast<std::size_t>(g)]];
      for (Index j = 0; j < d; ++j) row.values[j] = (right.data()[g * d + j] - back.data()[g * d + j]) / row.penalty;
    }
  }

  // Lower triangle of X^T X: products of 1024 rows in T, summed in fp64.
  void feature_gram() {
    Context<Cpu>& ctx = design_->context();
    const Index d = design_->features(), step = 4 * Design<T, Cpu>::block_rows, strip = 128;
    Tensor<T, Cpu> block(ctx, {step, d}), part(ctx, {d, d});
    for (Index first = 0; first < design_->rows(); first += step) {
      const Index count = std::min(step, design_->rows() - first);
      ctx.parallel_range(count, 64, [&](Index begin, Index end) {
        design_->load(first + begin, end - begin, block.data() + begin * d);
      });
      ctx.parallel((d + strip - 1) / strip, [&](Index s) {
        const Index begin = s * strip, rows = std::min(strip, d - begin), columns = begin + rows;
        T* out = part.data() + begin * d;
        ctx.provider().template gemm<T>().run(ctx, {.m = rows,
                                                    .n = columns,
                                                    .k = count,
                                                    .a = block.data() + begin,
                                                    .a_row = 1,
                                                    .a_col = d,
                                                    .b = block.data(),
                                                    .b_row = d,
                                                    .c = out,
                                                    .c_row = d});
        for (Index i = 0; i < rows; ++i)
          for (Index j = 0; j < columns; ++j) gram_.data()[(begin + i) * d + j] += static_cast<double>(out[i * d + j]);
      });
    }
  }

  // X X^T, n x n, for n < d.
  void row_gram() {
    Context<Cpu>& ctx = design_->context();
    const Index d = design_->features(), n = design_->rows();
    Tensor<double, Cpu> all(ctx, {n, d});
    ctx.parallel_range(n, 64,
                       [&](Index begin, Index end) { design_->load(begin, end - begin, all.data() + begin * d); });
    ctx.provider().gemm_f64.run(ctx, {.m = n,
                                      .n = n,
                                      .k = d,
                                      .a = all.data(),
                                      .a_row = d,
                                      .b = all.data(),
                                      .b_row = 1,
                                      .b_col = d,
                                      .c = gram_.data(),
                                      .c_row = n});
  }

  const Design<T, Cpu>* design_;
  bool dual_;
  Index size_;
  Tensor<double, Cpu> gram_;
  std::list<Kept> kept_;
};

}  // namespace braing3n::inline BRAING3N_ABI

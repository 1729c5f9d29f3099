// The approximate inverse of preconditioner.hpp on a GPU.
//
// The Gram matrix is one product on the device, which the host reads once. The host factors it (linalg/llt.hpp, on all of its threads) and
// sends back the inverse, so that applying it is one product for all fits that share a factorisation: triangular solves would be a chain of
// small ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/linalg/llt.hpp"
#include "braing3n/probe/device_design.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// A residual to be preconditioned: output k of a fit, whose outputs lie one behind the other in the list and in the batch.
struct MixedColumn {
  std::int32_t column = 0, first = 0, outputs = 1,
               slot = 0;  // of the batch; of the list: the fit's first; where the mixed row lies
  Index basis = 0;        // where the fit's (outputs, outputs) basis begins
  double curvature = 0, penalty = 1;
  bool direct = false;  // the penalty is all there is
};

/// Rows of residuals in the eigenbasis of the class covariance, at their slots.
struct MixIn {
  const MixedColumn* list;
  const double *basis, *r;
  double* mixed;
  Index width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, Index j) const {
    const MixedColumn m = list[c];
    const Index k = c - m.first;
    double sum = 0;
    if (m.outputs == 1) sum = r[m.column * width + j];
    else
      for (Index l = 0; l < m.outputs; ++l)
        sum += basis[m.basis + l * m.outputs + k] * r[(m.column - k + l) * width + j];
    mixed[m.slot * width + j] = sum;
  }
};

/// Back from the eigenbasis: z (list, width). The sum over j is r z.
struct MixOut {
  const MixedColumn* list;
  const double *basis, *r, *mixed, *solved;
  double *z, *rz;
  Index features, width;
  bool dual;

  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const MixedColumn m = list[c];
    const Index k = c - m.first;
    double sum = 0;
    if (m.outputs == 1) sum = inverse(m, j);
    else
      for (Index l = 0; l < m.outputs; ++l) sum += basis[m.basis + k * m.outputs + l] * inverse(list[m.first + l], j);
    z[c * width + j] = sum;
    return r[m.column * width + j] * sum;
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, double total) const { rz[list[c].column] = total; }

 private:
  BRAING3N_HD BRAING3N_INLINE double inverse(const MixedColumn& m, Index j) const {
    const Index at = m.slot * width + j;
    if (j > features) return 0.0;
    if (j == features) return m.curvature > 0 ? mixed[at] / m.curvature : 0.0;
    if (m.direct) return mixed[at] / m.penalty;
    return dual ? (mixed[at] - solved[at]) / m.penalty : solved[at] / m.curvature;
  }
};

/// (scale a + shift I)^-1 (n, n), symmetric. Throws what llt() throws.
template <std::same_as<Cpu> B>
std::vector<double> inverse_of(Context<B>& ctx, std::span<const double> a, Index n, const LltOptions& options) {
  const Llt<double> factor = llt<double>(ctx, a, n, options);
  std::vector<double> x(static_cast<std::size_t>(n * n), 0.0);
  ctx.parallel_range(n, 16, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) x[static_cast<std::size_t>(i * n + i)] = 1.0;
    llt_solve<double>(
        factor, std::span(x).subspan(static_cast<std::size_t>(begin * n), static_cast<std::size_t>((end - begin) * n)));
  });
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < i; ++j) {
      double &below = x[static_cast<std::size_t>(i * n + j)], &above = x[static_cast<std::size_t>(j * n + i)];
      below = above = 0.5 * (below + above);
    }
  return x;
}

}  // namespace detail

template <class T, Backend B>
class GramPreconditioner {
 public:
  explicit GramPreconditioner(const Design<T, B>& design)
      : design_(&design), dual_(design.features() > design.rows()), size_(dual_ ? design.rows() : design.features()),
        host_(CpuOptions{}) {
    Tensor<double, B> gram(design.context(), {size_, size_});
    GemmCall<double> call;
    call.m = call.n = size_, call.k = dual_ ? design.features() : design.padded_rows();
    call.a = call.b = design.template data<double>();
    if (dual_) call.a_row = call.b_col = design.width(), call.b_row = 1;
    else call.a_row = 1, call.a_col = call.b_row = design.width();
    call.c = gram.data(), call.c_row = size_;
    ProductKernel<B>::run(design.context(), call);
    gram_ = gram.to_host();
  }

  /// z (columns, width) = M^-1 r and rz = r z per column, r and rz by columns of the batch. basis: of all fits of the list.
  void apply(std::vector<detail::MixedColumn> list, const std::vector<double>& basis, const double* r, double* z,
             double* rz) {
    Context<B>& ctx = design_->context();
    const Index count = static_cast<Index>(list.size()), width = design_->width();
    const std::vector<Group> groups = group(list);
    const auto columns = Tensor<detail::MixedColumn, B>::from_host(ctx, {count}, list);
    Tensor<double, B> turn;
    if (!basis.empty()) turn = Tensor<double, B>::from_host(ctx, {static_cast<Index>(basis.size())}, basis);
    Tensor<double, B> mixed(ctx, {count, width}), solved(ctx, {count, width});
    map_rows(ctx, count, width, detail::MixIn{columns.data(), turn.data(), r, mixed.data(), width});
    for (const Group& g : groups)
      solve(g.count, inverse(g.exponent), mixed.data() + g.first * width, solved.data() + g.first * width);
    const detail::MixOut out{columns.data(),      turn.data(), r,    mixed.data(), solved.data(), z, rz,
                             design_->features(), width,       dual_};
    row_sums(ctx, count, width, out, out);
  }

 private:
  static constexpr std::size_t most_bytes = std::size_t{256} << 20;  // of kept inverses

  struct Group {
    int exponent = 0;
    Index first = 0, count = 0;  // slots
  };
  struct Kept {
    int exponent;
    Tensor<double, B> inverse;
  };

  /// Gives columns with the same rounded ratio of penalty and curvature slots one behind the other.
  static std::vector<Group> group(std::vector<detail::MixedColumn>& list) {
    std::vector<Group> groups;
    std::vector<std::size_t> member(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double ratio = list[i].curvature > 0 ? list[i].penalty / list[i].curvature : 1e30;
      list[i].direct = ratio > 1e6;
      if (list[i].direct) continue;
      const int exponent = static_cast<int>(std::lround(std::log2(ratio)));
      std::size_t g = 0;
      while (g < groups.size() && groups[g].exponent != exponent) ++g;
      if (g == groups.size()) groups.push_back({exponent, 0, 0});
      ++groups[g].count;
      member[i] = g;
    }
    Index next = 0;
    for (Group& g : groups) g.first = next, next += g.count;
    std::vector<Index> place;
    for (const Group& g : groups) place.push_back(g.first);
    for (std::size_t i = 0; i < list.size(); ++i)
      list[i].slot = static_cast<std::int32_t>(list[i].direct ? next++ : place[member[i]]++);
    return groups;
  }

  const Tensor<double, B>& inverse(int exponent) {
    for (auto k = kept_.begin(); k != kept_.end(); ++k)
      if (k->exponent == exponent) {
        kept_.splice(kept_.begin(), kept_, k);
        return kept_.front().inverse;
      }
    const std::size_t bytes = gram_.size() * sizeof(double);
    while (!kept_.empty() && (kept_.size() + 1) * bytes > most_bytes) kept_.pop_back();
    std::optional<std::vector<double>> made;
    for (int more = 0; !made; more += 2) {
      try {
        const double ratio = std::exp2(exponent + more), n = static_cast<double>(design_->rows());
        made = detail::inverse_of(
            host_, gram_, size_, dual_ ? LltOptions{.shift = n * ratio} : LltOptions{.scale = 1.0 / n, .shift = ratio});
      } catch (const Error& e) {
        // A weak penalty leaves a matrix that rounding makes indefinite; a stronger one serves as well, only less closely.
        if (e.id() != "llt.indefinite" || more > 60) throw;
      }
    }
    kept_.push_front({exponent, Tensor<double, B>::from_host(design_->context(), {size_, size_}, *made)});
    return kept_.front().inverse;
  }

  /// from (count, width) to the same shape, features only.
  void solve(Index count, const Tensor<double, B>& inverse, const double* from, double* to) const {
    Context<B>& ctx = design_->context();
    const Index d = design_->features(), n = design_->rows(), width = design_->width();
    const double* const x = design_->template data<double>();
    GemmCall<double> call;
    call.m = count;
    if (!dual_) {
      call.n = call.k = d;
      call.a = from, call.a_row = width;
      call.b = inverse.data(), call.b_row = d;
      call.c = to, call.c_row = width;
      return ProductKernel<B>::run(ctx, call);
    }
    Tensor<double, B> inner(ctx, {count, n}), weighted(ctx, {count, n});
    call.n = n, call.k = d;
    call.a = from, call.a_row = width;
    call.b = x, call.b_row = 1, call.b_col = width;
    call.c = inner.data(), call.c_row = n;
    ProductKernel<B>::run(ctx, call);
    call.k = n;
    call.a = inner.data(), call.a_row = n;
    call.b = inverse.data(), call.b_row = n, call.b_col = 1;
    call.c = weighted.data();
    ProductKernel<B>::run(ctx, call);
    call.n = d;
    call.a = weighted.data();
    call.b = x, call.b_row = width;
    call.c = to, call.c_row = width;
    ProductKernel<B>::run(ctx, call);
  }

  const Design<T, B>* design_;
  bool dual_;
  Index size_;
  Context<Cpu> host_;
  std::vector<double> gram_;
  std::list<Kept> kept_;
};

}  // namespace braing3n::inline BRAING3N_ABI

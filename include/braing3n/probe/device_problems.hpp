// The problems of a batch of fits on a GPU: labels, targets, folds and class weights of all of them in two uploads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/probe/device_rows.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Arrays that several problems share (folds of one task) are uploaded and kept once.
template <Backend B>
class DeviceProblems {
 public:
  /// Throws Error (argument): a penalty that is not positive, a fit without training rows.
  DeviceProblems(Context<B>& ctx, std::span<const FitProblem> problems, Index rows) : rows_(rows) {
    for (const FitProblem& p : problems) add(p);
    for (std::size_t f = 0; f < problems.size(); ++f) count_rows(problems[f], placed_[f]);
    problems_ = upload(ctx, placed_);
    integers_ = upload(ctx, integer_values_);
    numbers_ = upload(ctx, number_values_);
    if (kept_ > 0) held_out_ = Tensor<double, B>(ctx, {kept_});
  }

  const std::vector<PlacedProblem>& placed() const { return placed_; }
  PlacedRows rows() const { return {problems_.data(), integers_.data(), numbers_.data()}; }
  double* held_out_values() { return held_out_.data(); }
  Index columns() const { return columns_; }

  /// Predictions of held-out rows to where the problems want them. The host reads once, or not at all when none does.
  void read_held_out(std::span<const FitProblem> problems) const {
    if (kept_ == 0) return;
    const std::vector<double> read = held_out_.to_host();
    for (std::size_t f = 0; f < problems.size(); ++f) {
      const FitProblem& p = problems[f];
      if (p.held_out_values == nullptr) continue;
      const double* const from = read.data() + placed_[f].held_out_values;
      for (Index i = 0; i < rows_; ++i)
        if (p.holds_out(i)) std::copy_n(from + i * p.outputs, p.outputs, p.held_out_values + i * p.outputs);
    }
  }

 private:
  template <class V>
  static Tensor<V, B> upload(Context<B>& ctx, const std::vector<V>& values) {
    if (values.empty()) return {};
    return Tensor<V, B>::from_host(ctx, {static_cast<Index>(values.size())}, values);
  }
  template <class V>
  Index place(const V* of, std::vector<V>& values) {
    if (of == nullptr) return -1;
    const auto [found, fresh] = offset_.emplace(of, static_cast<Index>(values.size()));
    if (fresh) values.insert(values.end(), of, of + rows_);
    return found->second;
  }

  void add(const FitProblem& p) {
    if (!(p.penalty > 0))
      fail(ErrorKind::argument, "probe.penalty", "probe: the penalty must be positive, got ", p.penalty);
    PlacedProblem& out = placed_.emplace_back();
    out.loss = p.loss, out.held_out = p.held_out, out.outputs = p.outputs, out.column = columns_;
    out.penalty = p.penalty;
    columns_ += p.outputs;
    if (p.loss == Loss::squared) out.target = place(p.target, number_values_);
    else out.label = place(p.label, integer_values_);
    out.fold = place(p.fold, integer_values_);
    if (!p.class_weight.empty()) {
      out.class_weight = static_cast<Index>(number_values_.size());
      number_values_.insert(number_values_.end(), p.class_weight.begin(), p.class_weight.end());
    }
    if (p.held_out_values == nullptr) return;
    const auto [found, fresh] = offset_.emplace(p.held_out_values, kept_);
    if (fresh) kept_ += rows_ * p.outputs;
    out.held_out_values = found->second;
  }

  void count_rows(const FitProblem& p, PlacedProblem& out) const {
    double targets = 0;
    for (Index i = 0; i < rows_; ++i)
      if (p.trains(i)) {
        out.rows += 1;
        if (p.loss == Loss::squared) targets += p.target[i];
      }
    if (out.rows < 1) fail(ErrorKind::argument, "probe.rows", "probe: a fit has no training rows");
    if (p.loss == Loss::squared) out.intercept = targets / out.rows;
  }

  Index rows_ = 0, columns_ = 0, kept_ = 0;
  std::vector<PlacedProblem> placed_;
  std::vector<std::int32_t> integer_values_;
  std::vector<double> number_values_;
  std::map<const void*, Index> offset_;
  Tensor<PlacedProblem, B> problems_;
  Tensor<std::int32_t, B> integers_;
  Tensor<double, B> numbers_;
  Tensor<double, B> held_out_;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail

// Numbers that stay where the tensors are: losses, norms, factors. Ops write and read them on the backend; the host waits only where it
// calls item().
#pragma once

#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "braing3n/ops/concat.hpp"
#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A number on the backend: shape (), in double.
template <Backend B>
Tensor<double, B> scalar(Context<B>& context, double value) {
  return full<double>(context, Shape{}, value);
}

/// The number in a tensor of one element. Waits for the backend. Throws Error (shape).
template <Backend B>
double item(const Tensor<double, B>& value) {
  if (value.size() != 1) fail(ErrorKind::shape, "item.size", "item: expected one element, got shape ", value.shape());
  return value.to_host()[0];
}

/// The numbers in several tensors of one element, asked for now and waited for when they are read: what is asked of the backend in
/// between does not delay them. Throws Error (shape).
template <Backend B>
class PendingItems {
 public:
  PendingItems() = default;
  explicit PendingItems(const std::vector<Tensor<double, B>>& values) {
    if (values.empty()) return;
    std::vector<Tensor<double, B>> rows;
    for (const Tensor<double, B>& v : values) {
      if (v.size() != 1) fail(ErrorKind::shape, "item.size", "items: expected one element, got shape ", v.shape());
      rows.push_back(v.reshape(Shape{1}));
    }
    const Tensor<double, B> packed = concat_forward(std::span<const Tensor<double, B>>(rows), 0);
    read_ = packed.context().memory().start_read(packed.data(), packed.bytes());
    count_ = values.size();
  }
  std::vector<double> wait() const {
    if (read_ == nullptr) return {};
    const auto* const numbers = static_cast<const double*>(read_->wait());
    return {numbers, numbers + count_};
  }

 private:
  std::unique_ptr<HostRead> read_;
  std::size_t count_ = 0;
};

/// The numbers in several tensors of one element, in one read. Waits for the backend once. Throws Error (shape).
template <Backend B>
std::vector<double> items(const std::vector<Tensor<double, B>>& values) {
  return PendingItems<B>(values).wait();
}

namespace detail {

struct StoreQuotient {
  double* out;
  double divisor;
  BRAING3N_HD BRAING3N_INLINE void operator()(double total) const { *out = total / divisor; }
};
struct AddScalar {
  double* out;
  BRAING3N_HD BRAING3N_INLINE void operator()(double total) const { *out += total; }
};

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI

// A contiguous, row-major block of elements on a backend.
//
// Copying a tensor shares its storage (clone() copies). Views exist along axis 0 only, so every tensor, view or not, is
// one contiguous range: there is no stride machinery anywhere, and a change of layout is an op.
// Activations are channels-last: volumes (N, X, Y, Z, C), tokens (N, L, C). A token grid is a channels-last volume.
#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "braing3n/base/shape.hpp"
#include "braing3n/core/memory.hpp"
#include "braing3n/core/precision.hpp"
#include "braing3n/core/tags.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;
  using backend = B;

  /// An empty tensor: no storage, no context.
  Tensor() = default;

  /// Uninitialised elements.
  Tensor(Context<B>& context, const Shape& shape)
      : context_(&context), shape_(shape),
        storage_(std::make_shared<Storage>(context.memory(), static_cast<std::size_t>(shape.size()) * sizeof(T))),
        data_(static_cast<T*>(storage_->data())) {}

  static Tensor zeros(Context<B>& context, const Shape& shape) {
    Tensor t(context, shape);
    t.zero();
    return t;
  }

  /// Copies host values in row-major order. Throws Error (shape) when the count differs from the shape's.
  static Tensor from_host(Context<B>& context, const Shape& shape, std::span<const T> values) {
    if (static_cast<Index>(values.size()) != shape.size())
      fail(ErrorKind::shape, "tensor.from_host", "tensor: ", values.size(), " values for shape ", shape, " with ",
           shape.size(), " elements");
    Tensor t(context, shape);
    if (t.size() > 0) context.memory().copy_from_host(t.data_, values.data(), values.size_bytes());
    return t;
  }

  /// A tensor over memory of the caller, which must outlive it and all that share its storage (interop/ has views of other libraries).
  static Tensor borrow(Context<B>& context, const Shape& shape, T* data)
    requires std::is_same_v<B, Cpu>
  {
    Tensor t;
    t.context_ = &context;
    t.shape_ = shape;
    t.storage_ = std::make_shared<Storage>(data, static_cast<std::size_t>(shape.size()) * sizeof(T));
    t.data_ = data;
    return t;
  }

  bool empty() const { return storage_ == nullptr; }
  explicit operator bool() const { return !empty(); }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  Index size() const { return empty() ? 0 : shape_.size(); }
  Index dim(int axis) const { return shape_[axis]; }
  Context<B>& context() const {
    if (empty()) fail(ErrorKind::state, "tensor.empty", "tensor: an empty tensor has no context");
    return *context_;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }

  /// The same elements under another shape of equal size.
  Tensor reshape(const Shape& shape) const {
    if (empty() || shape.size() != shape_.size())
      fail(ErrorKind::shape, "tensor.reshape", "reshape: ", shape_, " has ", size(), " elements, ", shape, " wants ",
           shape.size());
    Tensor t = *this;
    t.shape_ = shape;
    return t;
  }

  /// Rows [begin, end) of axis 0; shares the storage.
  Tensor slice(Index begin, Index end) const {
    if (rank() == 0 || begin < 0 || end < begin || end > shape_[0])
      fail(ErrorKind::shape, "tensor.slice", "slice: rows [", begin, ", ", end, ") of a tensor with shape ", shape_);
    Tensor t = *this;
    const Index row = shape_[0] == 0 ? 0 : shape_.size() / shape_[0];
    t.shape_ = shape_.with(0, end - begin);
    t.data_ = data_ + begin * row;
    return t;
  }

  Tensor clone() const {
    Tensor t(context(), shape_);
    if (size() > 0) context_->memory().copy(t.data_, data_, bytes());
    return t;
  }

  void zero() {
    if (size() > 0) context_->memory().zero(data_, bytes());
  }

  std::vector<T> to_host() const {
    std::vector<T> values(static_cast<std::size_t>(size()));
    if (size() > 0) context_->memory().copy_to_host(values.data(), data_, bytes());
    return values;
  }

  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(T); }

  /// Nobody else holds the storage, the caller of borrow() included: an op may then reuse it for its result.
  bool unique() const { return storage_ != nullptr && storage_.use_count() == 1 && !storage_->borrowed(); }
  bool shares_storage_with(const Tensor& other) const { return storage_ != nullptr && storage_ == other.storage_; }

 private:
  Context<B>* context_ = nullptr;
  Shape shape_;
  std::shared_ptr<Storage> storage_;
  T* data_ = nullptr;
};

/// Throws Error (shape) unless both tensors have the same shape.
template <class T, class U, Backend B>
void require_same_shape(const char* op, const Tensor<T, B>& a, const Tensor<U, B>& b) {
  if (!(a.shape() == b.shape()))
    fail(ErrorKind::shape, "op.shape", op, ": shapes differ: ", a.shape(), " and ", b.shape());
}

/// Throws Error (shape) when there is nothing to compute: an empty batch is a mistake upstream, never a wish.
template <class T, Backend B>
void require_elements(const char* op, const Tensor<T, B>& x) {
  if (x.size() == 0) fail(ErrorKind::shape, "op.empty", op, ": the input ", x.shape(), " has no elements");
}

}  // namespace braing3n::inline BRAING3N_ABI

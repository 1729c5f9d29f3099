// Extents of a tensor: at most six, row-major, checked for overflow once when they are made.
#pragma once

#include <array>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Extents of a volume or of a grid of patches.
using Extent3 = std::array<Index, 3>;

class Shape {
 public:
  static constexpr int max_rank = 6;

  constexpr Shape() = default;
  Shape(std::initializer_list<Index> extents) : Shape(std::span<const Index>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const Index> extents) {
    if (extents.size() > max_rank)
      fail(ErrorKind::shape, "shape.rank", "shape: expected at most ", max_rank, " axes, got ", extents.size());
    for (Index extent : extents) push_back(extent);
  }

  /// Appends an axis.
  void push_back(Index extent) {
    if (rank_ == max_rank)
      fail(ErrorKind::shape, "shape.rank", "shape: expected at most ", max_rank, " axes, got ", max_rank + 1);
    if (extent < 0)
      fail(ErrorKind::shape, "shape.negative", "shape: expected an extent of at least 0 of axis ", rank_, ", got ",
           extent);
    if (extent > 0 && size_ > std::numeric_limits<Index>::max() / 16 / extent)
      fail(ErrorKind::shape, "shape.overflow", "shape: the number of elements overflows at axis ", rank_,
           " with extent ", extent);
    extents_[static_cast<std::size_t>(rank_++)] = extent;
    size_ *= extent;
  }

  constexpr int rank() const { return rank_; }
  /// Number of elements; 1 for rank 0.
  constexpr Index size() const { return size_; }

  /// Extent of an axis; negative axes count from the end.
  Index operator[](int axis) const {
    const int a = axis < 0 ? axis + rank_ : axis;
    if (a < 0 || a >= rank_)
      fail(ErrorKind::shape, "shape.axis", "shape: expected an axis of a tensor with shape ", str(), ", got ", axis);
    return extents_[static_cast<std::size_t>(a)];
  }

  /// Elements in the axes [first, last).
  Index product(int first, int last) const {
    Index p = 1;
    for (int a = first; a < last; ++a) p *= (*this)[a];
    return p;
  }

  /// The same shape with one extent replaced.
  Shape with(int axis, Index extent) const {
    const int replaced = axis < 0 ? axis + rank_ : axis;
    (void)(*this)[axis];
    Shape s;
    for (int a = 0; a < rank_; ++a) s.push_back(a == replaced ? extent : extents_[static_cast<std::size_t>(a)]);
    return s;
  }

  std::span<const Index> extents() const { return {extents_.data(), static_cast<std::size_t>(rank_)}; }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.extents_[static_cast<std::size_t>(i)] != b.extents_[static_cast<std::size_t>(i)]) return false;
    return true;
  }

  /// "(2, 3, 4)"
  std::string str() const {
    std::string s = "(";
    for (int i = 0; i < rank_; ++i) {
      if (i > 0) s += ", ";
      s += std::to_string(extents_[static_cast<std::size_t>(i)]);
    }
    return s + ")";
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.str(); }

 private:
  std::array<Index, max_rank> extents_{};
  int rank_ = 0;
  Index size_ = 1;
};

}  // namespace braing3n::inline BRAING3N_ABI

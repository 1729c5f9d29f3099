// The launchers of backend/kernels.hpp on a GPU against plain loops: small integers, so every result is exact.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"

using namespace braing3n;
using test::Both;
using test::upload;

namespace {

/// Element (b, r, c) of (batch, rows, cols).
struct At {
  const float* x;
  Index rows, cols;
  BRAING3N_HD BRAING3N_INLINE float operator()(Index b, Index r, Index c) const { return x[(b * rows + r) * cols + c]; }
  BRAING3N_HD BRAING3N_INLINE float operator()(Index r, Index c) const { return x[r * cols + c]; }
  BRAING3N_HD BRAING3N_INLINE float operator()(Index i) const { return x[i]; }
};
struct Double {
  const float* x;
  float* y;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { y[i] = 2 * x[i]; }
};
struct AddRowNumber {
  const float* x;
  float* y;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    y[r * cols + c] = x[r * cols + c] + static_cast<float>(r);
  }
};
/// Running sums down a column: rows have to come in order.
struct Accumulate {
  const float* x;
  float* y;
  Index rows, cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index r, Index c) const {
    const Index i = (b * rows + r) * cols + c;
    y[i] = x[i] + (r > 0 ? y[i - cols] : 0.0f);
  }
};
struct StoreRow {
  double* y;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, double v) const { y[r] = v; }
};
struct StoreColumn {
  double* y;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index c, double v) const { y[b * cols + c] = v; }
};
/// Rows in reverse, in pieces; every fifth row is zeros.
struct Reversed {
  const float* x;
  float* y;
  Index rows, cols, width;
  BRAING3N_HD BRAING3N_INLINE RowCopy<float> operator()(Index r) const {
    return {y + r * cols, r % 5 == 0 ? nullptr : x + (rows - 1 - r) * cols, width, width};
  }
};

/// Sizes around the block of 256 threads, the row group of 128 and the chunk of 16384 elements.
struct Sizes {
  Index batch, rows, cols;
};
const Sizes all_sizes[] = {{1, 1, 1},   {2, 3, 5},     {1, 255, 2},  {2, 128, 3}, {1, 129, 257},
                           {1, 300, 1}, {2, 130, 130}, {1, 4, 4096}, {1, 7, 2341}};

}  // namespace

TEST_CASE("map, map_rows, map_columns and copy_rows reach every element once") {
  Both b;
  for (const Sizes& s : all_sizes) {
    CAPTURE(s.rows);
    CAPTURE(s.cols);
    const Index n = s.batch * s.rows * s.cols, rows = s.batch * s.rows;
    const auto host = test::small_integers<float>(b.cpu, {n}, 1);
    const float* const h = host.data();
    const auto x = upload(b, host);
    Tensor<float, Cuda> twice(b.cuda, {n}), numbered(b.cuda, {n}), summed(b.cuda, {n}), reversed(b.cuda, {n});
    map(b.cuda, n, Double{x.data(), twice.data()});
    map_rows(b.cuda, rows, s.cols, AddRowNumber{x.data(), numbered.data(), s.cols});
    map_columns(b.cuda, s.batch, s.rows, s.cols, Accumulate{x.data(), summed.data(), s.rows, s.cols});
    const Index pieces = s.cols % 2 == 0 ? 2 : 1;
    copy_rows(b.cuda, rows, pieces, s.cols / pieces,
              Reversed{x.data(), reversed.data(), rows, s.cols, s.cols / pieces});
    const auto t = twice.to_host(), a = numbered.to_host(), u = summed.to_host(), v = reversed.to_host();
    Index wrong = 0;
    for (Index i = 0; i < n; ++i) {
      const auto j = static_cast<std::size_t>(i);
      const Index row = i / s.cols;
      wrong += t[j] != 2 * h[i];
      wrong += a[j] != h[i] + static_cast<float>(row);
      wrong += u[j] != h[i] + (row % s.rows > 0 ? u[j - static_cast<std::size_t>(s.cols)] : 0.0f);
      wrong += v[j] != (row % 5 == 0 ? 0.0f : h[(rows - 1 - row) * s.cols + i % s.cols]);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("sums and maxima of the whole, of rows and of columns are exact for small integers") {
  Both b;
  for (const Sizes& s : all_sizes) {
    CAPTURE(s.rows);
    CAPTURE(s.cols);
    const Index n = s.batch * s.rows * s.cols, rows = s.batch * s.rows;
    const auto host = test::small_integers<float>(b.cpu, {n}, 2);
    const float* const h = host.data();
    const auto x = upload(b, host);
    const At at{x.data(), s.rows, s.cols};
    Tensor<double, Cuda> by_row(b.cuda, {rows}), most_by_row(b.cuda, {rows}), by_column(b.cuda, {s.batch, s.cols});
    row_sums(b.cuda, rows, s.cols, at, StoreRow{by_row.data()});
    row_max(b.cuda, rows, s.cols, at, StoreRow{most_by_row.data()});
    column_sums(b.cuda, s.batch, s.rows, s.cols, at, StoreColumn{by_column.data(), s.cols});
    std::vector<double> r(static_cast<std::size_t>(rows)), c(static_cast<std::size_t>(s.batch * s.cols));
    double whole = 0, largest = -std::numeric_limits<double>::infinity();
    std::vector<double> most(r.size(), largest);
    for (Index i = 0; i < n; ++i) {
      const auto v = static_cast<double>(h[i]);
      whole += v;
      largest = std::max(largest, v);
      r[static_cast<std::size_t>(i / s.cols)] += v;
      most[static_cast<std::size_t>(i / s.cols)] = std::max(most[static_cast<std::size_t>(i / s.cols)], v);
      c[static_cast<std::size_t>(i / (s.rows * s.cols) * s.cols + i % s.cols)] += v;
    }
    CHECK(sum(b.cuda, n, at) == whole);
    CHECK(max_value(b.cuda, n, at) == largest);
    CHECK(by_row.to_host() == r);
    CHECK(most_by_row.to_host() == most);
    CHECK(by_column.to_host() == c);
  }
}

TEST_CASE("a maximum finds one large element wherever it stands, and NaN wins") {
  Both b;
  const Index n = 2 * 16384 + 77;
  for (const Index place : {Index{0}, Index{255}, Index{256}, Index{16383}, Index{16384}, n - 1}) {
    auto host = Tensor<float, Cpu>::zeros(b.cpu, {n});
    host.data()[place] = 5;
    const auto x = upload(b, host);
    CHECK(max_value(b.cuda, n, At{x.data(), 1, n}) == 5);
    CHECK(sum(b.cuda, n, At{x.data(), 1, n}) == 5);
    host.data()[place] = std::numeric_limits<float>::quiet_NaN();
    host.data()[(place + 1) % n] = 7;
    const auto y = upload(b, host);
    CHECK(std::isnan(max_value(b.cuda, n, At{y.data(), 1, n})));
    Tensor<double, Cuda> row(b.cuda, {1});
    row_max(b.cuda, 1, n, At{y.data(), 1, n}, StoreRow{row.data()});
    CHECK(std::isnan(row.to_host()[0]));
  }
  CHECK(sum(b.cuda, 0, At{nullptr, 1, 0}) == 0);
}

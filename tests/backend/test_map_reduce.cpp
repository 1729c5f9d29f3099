#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

struct Visit {
  int* count;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { count[i] += static_cast<int>(i % 5) + 1; }
};
struct VisitRows {
  Index* out;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const { out[r * cols + c] += 1000 * r + c + 1; }
};
/// Depends on the order of the rows: Horner's rule.
struct Horner {
  Index* out;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index r, Index c) const {
    Index& o = out[b * cols + c];
    o = (3 * o + r + c) % 10007;
  }
};
template <class T>
struct At {
  const T* x;
  BRAING3N_HD BRAING3N_INLINE T operator()(Index i) const { return x[i]; }
};
template <class T>
struct At2 {
  const T* x;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE T operator()(Index r, Index c) const { return x[r * cols + c]; }
};
template <class T>
struct At3 {
  const T* x;
  Index rows, cols;
  BRAING3N_HD BRAING3N_INLINE T operator()(Index b, Index r, Index c) const { return x[(b * rows + r) * cols + c]; }
};
struct StoreRow {
  double* out;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, double v) const { out[r] = v; }
};
struct StoreColumn {
  double* out;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index c, double v) const { out[b * cols + c] = v; }
};
template <class T>
struct Reverse {  // row r of `to` is row rows - 1 - r of `from`, pieces swapped two by two; row 1 becomes zeros
  const T* from;
  T* to;
  Index rows, pieces, width;
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const {
    T* row = to + r * pieces * width;
    if (r == 1) return {row, nullptr, width, 0};
    return {row, from + ((rows - 1 - r) * pieces + pieces - 1) * width, width, -width};
  }
};

}  // namespace

TEST_CASE("map calls every index once") {
  Context<Cpu> ctx({.threads = 3});
  for (const Index n : {0, 1, 31, 32, 33, 16383, 16384, 16385, 50000}) {
    std::vector<int> count(static_cast<std::size_t>(n), 0);
    map(ctx, n, Visit{count.data()});
    Index wrong = 0;
    for (Index i = 0; i < n; ++i) wrong += count[static_cast<std::size_t>(i)] != static_cast<int>(i % 5) + 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("map_rows calls every element once, whatever the proportions") {
  Context<Cpu> ctx({.threads = 2});
  const Index sizes[][2] = {{1, 1}, {3, 40000}, {40000, 3}, {257, 129}, {2, 16384}, {5, 16385}, {31, 33}};
  for (const auto& [rows, cols] : sizes) {
    std::vector<Index> out(static_cast<std::size_t>(rows * cols), 0);
    map_rows(ctx, rows, cols, VisitRows{out.data(), cols});
    Index wrong = 0;
    for (Index i = 0; i < rows * cols; ++i)
      wrong += out[static_cast<std::size_t>(i)] != 1000 * (i / cols) + i % cols + 1;
    CHECK_MESSAGE(wrong == 0, rows, " x ", cols);
  }
}

TEST_CASE("map_columns goes through the rows of a column in order") {
  Context<Cpu> ctx({.threads = 3});
  for (const Index cols : {1, 33, 511, 512, 513, 1300}) {
    const Index batch = 2, rows = 17;
    std::vector<Index> out(static_cast<std::size_t>(batch * cols), 1), expected = out;
    map_columns(ctx, batch, rows, cols, Horner{out.data(), cols});
    for (Index b = 0; b < batch; ++b)
      for (Index c = 0; c < cols; ++c)
        for (Index r = 0; r < rows; ++r) Horner{expected.data(), cols}(b, r, c);
    CHECK(out == expected);
  }
}

TEST_CASE("copy_rows copies pieces of any width and nothing else") {
  Context<Cpu> ctx({.threads = 2});
  for (const Index width : {1, 3, 4, 8, 16, 17, 64, 300}) {
    for (const Index pieces : {1, 2, 5}) {
      const Index rows = 97;
      const auto from = small_integers<float>(ctx, Shape{rows, pieces, width}, 1);
      auto to = small_integers<float>(ctx, Shape{rows + 1, pieces, width}, 2);
      const auto before = to.clone();
      copy_rows(ctx, rows, pieces, width, Reverse<float>{from.data(), to.data(), rows, pieces, width});
      Index wrong = 0;
      for (Index r = 0; r <= rows; ++r)
        for (Index p = 0; p < pieces; ++p)
          for (Index c = 0; c < width; ++c) {
            const Index i = (r * pieces + p) * width + c;
            const float expected = r == rows ? before.data()[i]
                                   : r == 1  ? 0.0f
                                             : from.data()[((rows - 1 - r) * pieces + pieces - 1 - p) * width + c];
            wrong += to.data()[i] != expected;
          }
      CHECK_MESSAGE(wrong == 0, width, " x ", pieces);
    }
  }
}

TEST_CASE_TEMPLATE("sum and max_value of integers are exact for every length", T, float, double) {
  Context<Cpu> ctx({.threads = 3});
  for (const Index n : {1, 2, 31, 32, 33, 63, 64, 65, 65535, 65536, 65537, 200001}) {
    auto x = small_integers<T>(ctx, Shape{n}, 3);
    x.data()[n - 1] = static_cast<T>(77);  // the last element counts
    x.data()[n / 2] += static_cast<T>(1000);
    double expected = 0, largest = -1e9;
    for (Index i = 0; i < n; ++i) {
      expected += static_cast<double>(x.data()[i]);
      largest = std::max(largest, static_cast<double>(x.data()[i]));
    }
    CHECK(sum(ctx, n, At<T>{x.data()}) == expected);
    CHECK(max_value(ctx, n, At<T>{x.data()}) == largest);
    x.data()[n / 3] = std::numeric_limits<T>::quiet_NaN();
    CHECK(std::isnan(sum(ctx, n, At<T>{x.data()})));
    CHECK(std::isnan(max_value(ctx, n, At<T>{x.data()})));
  }
  CHECK(sum(ctx, 0, At<T>{nullptr}) == 0.0);
  CHECK(max_value(ctx, 0, At<T>{nullptr}) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("float sums are in double") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 1 << 21;
  const auto x = random<float>(ctx, Shape{n}, 4);
  long double exact = 0;
  for (Index i = 0; i < n; ++i) exact += static_cast<long double>(1000.0f + x.data()[i]);
  struct Shifted {
    const float* x;
    BRAING3N_INLINE float operator()(Index i) const { return 1000.0f + x[i]; }
  };
  const double got = sum(ctx, n, Shifted{x.data()});
  CHECK(std::abs(got / static_cast<double>(exact) - 1) < tolerance<double>(n));
}

TEST_CASE_TEMPLATE("row_sums, row_max and column_sums of integers are exact for every shape", T, float, double) {
  Context<Cpu> ctx({.threads = 3});
  const Index shapes[][3] = {{1, 1, 1},     {2, 3, 1},     {3, 200, 2},   {2, 33, 3},   {2, 70, 4},    {1, 70000, 1},
                             {1, 40000, 4}, {2, 31, 5},    {2, 33, 15},   {2, 65, 16},  {3, 5, 17},    {2, 130, 513},
                             {2, 67, 2047}, {2, 35, 2048}, {1, 34, 2049}, {1, 6, 5000}, {1, 2, 70000}, {2, 4097, 32}};
  for (const auto& [batch, rows, cols] : shapes) {
    const auto x = small_integers<T>(ctx, Shape{batch, rows, cols}, 5);
    std::vector<double> columns(static_cast<std::size_t>(batch * cols), 0),
        row(static_cast<std::size_t>(batch * rows), 0);
    std::vector<double> expected_columns = columns, expected_row = row, largest = row;
    std::vector<double> expected_largest(row.size(), -std::numeric_limits<double>::infinity());
    for (Index i = 0; i < x.size(); ++i) {
      expected_columns[static_cast<std::size_t>(i / (rows * cols) * cols + i % cols)] +=
          static_cast<double>(x.data()[i]);
      expected_row[static_cast<std::size_t>(i / cols)] += static_cast<double>(x.data()[i]);
      double& most = expected_largest[static_cast<std::size_t>(i / cols)];
      most = std::max(most, static_cast<double>(x.data()[i]));
    }
    column_sums(ctx, batch, rows, cols, At3<T>{x.data(), rows, cols}, StoreColumn{columns.data(), cols});
    row_sums(ctx, batch * rows, cols, At2<T>{x.data(), cols}, StoreRow{row.data()});
    row_max(ctx, batch * rows, cols, At2<T>{x.data(), cols}, StoreRow{largest.data()});
    CHECK_MESSAGE(columns == expected_columns, "columns of ", batch, " x ", rows, " x ", cols);
    CHECK_MESSAGE(row == expected_row, "rows of ", batch, " x ", rows, " x ", cols);
    CHECK_MESSAGE(largest == expected_largest, "largest of the rows of ", batch, " x ", rows, " x ", cols);
  }
  auto x = small_integers<T>(ctx, Shape{2, 70}, 6);
  x.data()[75] = std::numeric_limits<T>::quiet_NaN();
  std::vector<double> largest(2, 0);
  row_max(ctx, 2, 70, At2<T>{x.data(), 70}, StoreRow{largest.data()});
  CHECK(std::isfinite(largest[0]));
  CHECK(std::isnan(largest[1]));
  row_max(ctx, 2, 0, At2<T>{nullptr, 0}, StoreRow{largest.data()});
  CHECK(largest == std::vector<double>(2, -std::numeric_limits<double>::infinity()));
}

TEST_CASE("reductions have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("reductions", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{3, 2100, 67}, 6);
    Tensor<double, Cpu> columns(ctx, Shape{3, 67}), row(ctx, Shape{3 * 2100}), total(ctx, Shape{1});
    column_sums(ctx, 3, 2100, 67, At3<float>{x.data(), 2100, 67}, StoreColumn{columns.data(), 67});
    row_sums(ctx, 3 * 2100, 67, At2<float>{x.data(), 67}, StoreRow{row.data()});
    total.data()[0] = sum(ctx, x.size(), At<float>{x.data()});
    return std::vector<Tensor<double, Cpu>>{columns, row, total};
  });
}

TEST_CASE("every instruction set gives the same integers") {
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    CpuProvider limited = default_cpu_provider();
    limited.isa = isa;
    limited.limits_isa = true;
    Context<Cpu> ctx({.threads = 2, .provider = &limited});
    REQUIRE(ctx.isa() == isa);
    const auto x = small_integers<float>(ctx, Shape{70001}, 8);
    double expected = 0;
    for (Index i = 0; i < x.size(); ++i) expected += static_cast<double>(x.data()[i]);
    CHECK(sum(ctx, x.size(), At<float>{x.data()}) == expected);
    std::vector<int> count(70001, 0);
    map(ctx, 70001, Visit{count.data()});
    CHECK(count[70000] == 70000 % 5 + 1);
  }
}

// What every table of matrix products has to pass.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "braing3n/base/functors.hpp"
#include "tests/support/check.hpp"

namespace braing3n::test {

/// A product with its operands in memory; gaps between rows hold NaN, so reading one shows.
template <class T>
struct Product {
  Context<Cpu>& ctx;
  Index m, n, k;
  bool a_transposed = false, b_transposed = false;
  Index gap = 0;  // elements between rows
  bool integers = true;
  std::uint32_t id = 1;

  std::vector<T> a, b, c, bias, residual, preactivation;
  GemmCall<T> call;

  Product(Context<Cpu>& ctx_, Index m_, Index n_, Index k_, bool at = false, bool bt = false, Index gap_ = 0,
          bool integers_ = true)
      : ctx(ctx_), m(m_), n(n_), k(k_), a_transposed(at), b_transposed(bt), gap(gap_), integers(integers_) {
    call.m = m, call.n = n, call.k = k;
    call.a_row = at ? 1 : k + gap, call.a_col = at ? m + gap : 1;
    call.b_row = bt ? 1 : n + gap, call.b_col = bt ? k + gap : 1;
    call.c_row = n + gap;
    a = matrix(at ? k : m, at ? m : k, 1);
    b = matrix(bt ? n : k, bt ? k : n, 2);
    c = matrix(m, n, 3);
    call.a = a.data(), call.b = b.data(), call.c = c.data();
  }
  Product(const Product&) = delete;

  void add_bias() { bias = matrix(1, n, 4), call.bias = bias.data(); }
  void add_residual() { residual = matrix(m, n, 5), call.residual = residual.data(), call.residual_row = n + gap; }
  void keep_preactivation() { preactivation = matrix(m, n, 6), call.preactivation = preactivation.data(); }

  /// Rows of `cols` values and a gap of NaN behind each.
  std::vector<T> matrix(Index rows, Index cols, std::uint32_t which) const {
    std::vector<T> v(static_cast<std::size_t>(rows * (cols + gap)),
                     static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
    Stream rng(Philox(11, Purpose::test, which, id));
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j) {
        const std::uint32_t bits = rng.integer(i * cols + j);
        const double value =
            integers ? static_cast<double>(bits % 7) - 3.0 : 2.0 * static_cast<double>(Philox::to_uniform(bits)) - 1.0;
        v[static_cast<std::size_t>(i * (cols + gap) + j)] = static_cast<T>(static_cast<float>(value));
      }
    return v;
  }

  /// A B in double.
  std::vector<double> reference() const {
    std::vector<double> rows(static_cast<std::size_t>(m * k)), columns(static_cast<std::size_t>(n * k)),
        sums(static_cast<std::size_t>(m * n));
    for (Index i = 0; i < m; ++i)
      for (Index u = 0; u < k; ++u)
        rows[static_cast<std::size_t>(i * k + u)] =
            static_cast<double>(a[static_cast<std::size_t>(i * call.a_row + u * call.a_col)]);
    for (Index j = 0; j < n; ++j)
      for (Index u = 0; u < k; ++u)
        columns[static_cast<std::size_t>(j * k + u)] =
            static_cast<double>(b[static_cast<std::size_t>(u * call.b_row + j * call.b_col)]);
    multiply_rows(rows.data(), columns.data(), sums.data());
    return sums;
  }

  BRAING3N_REFERENCE_LOOP void multiply_rows(const double* rows, const double* columns, double* sums) const {
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) {
        double part[8] = {};
        const double *x = rows + i * k, *y = columns + j * k;  // k may be 0
        Index u = 0;
        for (; u + 8 <= k; u += 8)
          for (Index lane = 0; lane < 8; ++lane) part[lane] += x[u + lane] * y[u + lane];
        for (; u < k; ++u) part[0] += x[u] * y[u];
        sums[i * n + j] = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
      }
  }

  void run() { ctx.provider().template gemm<T>().run(ctx, call); }

  /// Runs and compares with a product in double: bit for bit when everything is an integer, else within the tolerance of k.
  void check() {
    const std::vector<T> before = c;
    const std::vector<T> residual_before = call.residual == call.c ? before : residual;
    run();
    const bool exact = integers && call.activation == Activation::none;
    Index wrong = 0;
    std::string first;
    const auto compare = [&](const char* what, Index i, Index j, T got, double want) {
      const bool good = exact ? static_cast<double>(static_cast<float>(got)) ==
                                    static_cast<double>(static_cast<float>(static_cast<T>(static_cast<float>(want))))
                              : std::abs(static_cast<double>(got) - want) <= tolerance<T>(k, 1 + std::abs(want));
      if (!good && wrong++ == 0)
        first = concat(what, "(", i, ", ", j, "): got ", static_cast<double>(got), ", want ", want);
    };
    const std::vector<double> sums = reference();
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) {
        const auto at = static_cast<std::size_t>(i * call.c_row + j);
        double sum =
            sums[static_cast<std::size_t>(i * n + j)] + (call.accumulate ? static_cast<double>(before[at]) : 0.0);
        if (call.bias != nullptr) sum += static_cast<double>(bias[static_cast<std::size_t>(j)]);
        if (call.preactivation != nullptr) compare("preactivation", i, j, preactivation[at], sum);
        if (call.activation == Activation::gelu) sum = Gelu().value(sum);
        if (call.activation == Activation::gelu_tanh) sum = GeluTanh().value(sum);
        if (call.activation == Activation::silu) sum = Silu().value(sum);
        if (call.residual != nullptr)
          sum += static_cast<double>(residual_before[static_cast<std::size_t>(i * call.residual_row + j)]);
        compare("c", i, j, c[at], sum);
      }
      for (Index j = n; j < call.c_row; ++j) {
        const auto at = static_cast<std::size_t>(i * call.c_row + j);
        if (std::memcmp(&c[at], &before[at], sizeof(T)) != 0 && wrong++ == 0)
          first = concat("c: the gap behind row ", i, " was written");
      }
    }
    CHECK_MESSAGE(wrong == 0, ctx.provider().name, " ", type_name<T>(), " m ", m, " n ", n, " k ", k, " transposed ",
                  a_transposed, b_transposed, " gap ", gap, " accumulate ", call.accumulate, " activation ",
                  static_cast<int>(call.activation), ": ", wrong, " wrong, first ", first);
  }
};

template <class T>
void check_gemm_sizes(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  const Index sizes[] = {1, 2, 6, 7, 8, 13, 14, 15, 16, 17, 31, 32, 33, 65};
  int turn = 0;
  for (Index m : sizes)
    for (Index n : sizes)
      for (Index k : {1, 2, 3, 8, 33}) {
        const bool at = (turn & 1) != 0, bt = (turn & 2) != 0;
        Product<T> p(ctx, m, n, k, at, bt, (turn / 4) % 3);
        p.call.accumulate = turn % 5 == 0;
        if (turn % 3 == 0) p.add_bias();
        if (turn % 7 == 0) p.add_residual();
        if (turn % 11 == 0) p.keep_preactivation();
        p.check();
        ++turn;
      }
}

template <class T>
void check_gemm_layouts(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  // Sums longer than one block of k (and than several), odd lengths, more than one chunk in each direction.
  struct Size {
    Index m, n, k;
  };
  for (const Size& s : {Size{37, 45, 1283}, Size{100, 300, 61}, Size{200, 161, 70}, Size{3, 35, 2569},
                        Size{90, 34, 5200}, Size{3, 5, 10300}, Size{90, 2980, 17}})
    for (int layout = 0; layout < 4; ++layout)
      for (int with : {layout, layout ^ 3}) {
        Product<T> p(ctx, s.m, s.n, s.k, (layout & 1) != 0, (layout & 2) != 0, 3 * (layout % 2));
        p.call.accumulate = (with & 1) != 0;
        if ((with & 2) != 0) p.add_residual();
        p.check();
      }
}

template <class T>
void check_gemm_epilogues(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  for (Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::silu})
    for (int with = 0; with < 16; ++with) {
      Product<T> p(ctx, 33, 301, 31, false, true, 2, activation == Activation::none);
      p.call.activation = activation;
      p.call.accumulate = (with & 1) != 0;
      if ((with & 2) != 0) p.add_bias();
      if ((with & 4) != 0) p.keep_preactivation();
      if ((with & 8) != 0) p.add_residual();
      p.check();
    }
  // An empty sum is zero.
  for (Index m : {3, 100}) {
    Product<T> p(ctx, m, 200, 0, false, true, 2);
    p.add_bias();
    p.check();
  }
  // The residual may be C itself: x + f(x) W in place.
  for (Index m : {5, 150}) {
    Product<T> p(ctx, m, 140, 40);
    p.add_bias();
    p.call.residual = p.call.c, p.call.residual_row = p.call.c_row;
    p.check();
  }
}

template <class T>
void check_gemm_random(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  for (int layout = 0; layout < 4; ++layout) {
    Product<T>(ctx, 129, 95, 310, (layout & 1) != 0, (layout & 2) != 0, 0, false).check();
    Product<T>(ctx, 31, 64, 1300, (layout & 1) != 0, (layout & 2) != 0, 1, false).check();
  }
}

/// Rows a multiple of a page apart, and rows very far apart.
template <class T>
void check_gemm_strides(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  for (Index row : {Index{4096}, Index{4096} / Index{sizeof(T)} * 3, Index{20000}})
    for (bool transposed : {false, true}) {
      const Index m = 30, n = 36, k = 700;
      Product<T> p(ctx, m, n, k, transposed, transposed, row - (transposed ? m : k));
      p.check();
    }
}

/// Equal bits; for a provider outside that promise, equal within the tolerance of a product.
template <class T>
bool same_product(const std::vector<T>& a, const std::vector<T>& b, Index k, bool bits) {
  if (bits) return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
  double scale = 1;
  for (const T v : a) scale = std::max(scale, std::abs(static_cast<double>(v)));
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= tolerance<T>(k, scale))) return false;
  return true;
}

template <class T>
void check_gemm_threads(const CpuProvider& provider, bool bits) {
  struct Size {
    Index m, n, k;
  };
  for (const Size& s : {Size{1, 700, 1300}, Size{100, 260, 1400}, Size{260, 520, 300}, Size{130, 33, 5300}}) {
    std::vector<T> first;
    for (int threads : {1, 2, 3}) {
      Context<Cpu> ctx({.threads = threads, .provider = &provider});
      Product<T> p(ctx, s.m, s.n, s.k, s.m == 260, s.m != 100, 0, false);
      p.add_bias(), p.add_residual();
      p.call.activation = Activation::gelu;
      p.run();
      if (threads == 1) first = p.c;
      CHECK_MESSAGE(same_product(first, p.c, s.k, bits), provider.name, " ", type_name<T>(), ": m ", s.m,
                    " differs with ", threads, " threads");
    }
  }
}

/// Bit-equal with packed weights, and without a readable B.
template <class T>
void check_gemm_packed(const CpuProvider& provider, bool bits) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  const GemmKernels<T>& gemm = ctx.provider().template gemm<T>();
  if (gemm.pack == nullptr || gemm.packed_bytes(8, 8) == 0) return;
  for (Index m : {1, 14, 150})
    for (Index n : {1, 33, 300, 3000})
      for (Index k : {1, 65, 2570})
        for (bool transposed : {false, true}) {
          if (n * k > 1000000) continue;
          Product<T> plain(ctx, m, n, k, false, transposed, 0, false),
              packed(ctx, m, n, k, false, transposed, 0, false);
          const std::size_t bytes = gemm.packed_bytes(k, n);
          const Storage storage(ctx.memory(), bytes + 64);
          unsigned char* const behind = static_cast<unsigned char*>(storage.data()) + bytes;
          std::memset(behind, 0x5a, 64);
          gemm.pack(ctx, k, n, packed.call.b, packed.call.b_row, packed.call.b_col, storage.data());
          CHECK_MESSAGE(std::all_of(behind, behind + 64, [](unsigned char byte) { return byte == 0x5a; }),
                        provider.name, ": pack() writes more than it said");
          packed.call.b = nullptr;
          packed.call.packed_b = storage.data();
          plain.run(), packed.run();
          CHECK_MESSAGE(same_product(plain.c, packed.c, k, bits), provider.name, " ", type_name<T>(),
                        ": packed weights differ at m ", m, " n ", n, " k ", k);
        }
}

/// A NaN or an infinity reaches exactly the elements that depend on it.
template <class T>
void check_gemm_nan(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  const T nan = static_cast<T>(std::numeric_limits<float>::quiet_NaN()),
          infinity = static_cast<T>(std::numeric_limits<float>::infinity());
  for (Index k : {1, 7, 40}) {
    const Index m = 17, n = 35;
    Product<T> p(ctx, m, n, k);
    for (T& v : p.a) v = static_cast<T>(1.0f);
    for (T& v : p.b) v = static_cast<T>(1.0f);
    p.a[static_cast<std::size_t>(3 * k + k - 1)] = nan;
    p.b[static_cast<std::size_t>((k - 1) * n + n - 1)] = nan;
    p.a[static_cast<std::size_t>(5 * k)] = infinity;
    p.run();
    Index wrong = 0;
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) {
        const float v = static_cast<float>(p.c[static_cast<std::size_t>(i * n + j)]);
        const bool good = i == 3 || j == n - 1 ? std::isnan(v) : i == 5 ? std::isinf(v) : v == static_cast<float>(k);
        wrong += !good;
      }
    CHECK_MESSAGE(wrong == 0, provider.name, " ", type_name<T>(), ": ", wrong, " elements with k ", k);
  }
}

/// Inside a chunk of the pool, from several threads at once, and without new memory for every call.
template <class T>
void check_gemm_nested(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 3, .provider = &provider});
  Product<T> outside(ctx, 120, 140, 300, true, true, 0, false);
  outside.run();
  std::vector<std::vector<T>> results(6);
  const auto all = [&] {
    ctx.parallel(6, [&](Index i) {
      Product<T> p(ctx, 120, 140, 300, true, true, 0, false);
      p.run();
      results[static_cast<std::size_t>(i)] = p.c;
    });
  };
  all();
  for (const std::vector<T>& r : results) CHECK(std::memcmp(r.data(), outside.c.data(), r.size() * sizeof(T)) == 0);
  outside.run();
  const std::size_t calls = ctx.memory().stats().system_calls;
  for (int i = 0; i < 20; ++i) outside.run();
  // At most what every thread holds at once, which depends on how the threads happen to meet; nothing per call.
  CHECK(ctx.memory().stats().system_calls <= calls + static_cast<std::size_t>(ctx.threads()));
}

/// bits: the provider promises equal bits for any number of threads and for packed weights (oneDNN does not).
template <class T>
void check_gemm(const CpuProvider& provider, bool bits = true) {
  check_gemm_sizes<T>(provider);
  check_gemm_layouts<T>(provider);
  check_gemm_epilogues<T>(provider);
  check_gemm_random<T>(provider);
  check_gemm_strides<T>(provider);
  check_gemm_threads<T>(provider, bits);
  check_gemm_packed<T>(provider, bits);
  check_gemm_nan<T>(provider);
  check_gemm_nested<T>(provider);
}

}  // namespace braing3n::test

// Matrix products by oneDNN, one piece of C at a time, each on one thread (see onednn.hpp).
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/cpu/gemm/epilogue.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

inline const dnnl::engine& onednn_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// oneDNN's OpenMP regions, started from this thread, get one thread. The setting belongs to the calling thread, so it does not
/// touch the rest of the program; looked up at run time, because the library brings its OpenMP with it.
inline void onednn_one_thread() {
  using Set = void (*)(int);
  static const Set set = reinterpret_cast<Set>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  thread_local bool done = false;
  if (set != nullptr && !done) set(1), done = true;
}

/// Translates oneDNN's exceptions.
template <class F>
auto onednn_call(const char* what, F&& f) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    fail(ErrorKind::environment, "provider.onednn", "oneDNN: ", what, ": ", e.what(), " (status ",
         static_cast<int>(e.status), ")");
  }
}

template <class T>
constexpr dnnl::memory::data_type onednn_type() {
  return std::is_same_v<T, bfloat16> ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// The product of one dense piece of C, with float sums.
struct OnednnMatmul {
  dnnl::matmul primitive;
  dnnl::memory::desc a, b, c, scratchpad;
};

struct OnednnKey {
  Index m, n, k;
  bool bf16;
  auto tie() const { return std::tie(m, n, k, bf16); }
  bool operator<(const OnednnKey& other) const { return tie() < other.tie(); }
};

/// Made once per shape; making one takes longer than a small product.
inline OnednnMatmul onednn_matmul(const OnednnKey& key) {
  using dnnl::memory;
  static std::mutex mutex;
  static std::map<OnednnKey, OnednnMatmul> made;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = made.find(key);
  if (found != made.end()) return found->second;
  if (made.size() > 512) made.clear();
  return onednn_call("matmul", [&] {
    onednn_one_thread();
    const memory::data_type type = key.bf16 ? memory::data_type::bf16 : memory::data_type::f32;
    // The library's own scratch memory belongs to the thread that made the primitive; these are run by any thread.
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc pd(
        dnnl::matmul::desc(memory::desc({key.m, key.k}, type, memory::dims{key.k, 1}),
                           memory::desc({key.k, key.n}, type, memory::format_tag::any),
                           memory::desc({key.m, key.n}, memory::data_type::f32, memory::dims{key.n, 1})),
        attributes, onednn_engine());
    return made[key] = {dnnl::matmul(pd), pd.src_desc(), pd.weights_desc(), pd.dst_desc(), pd.scratchpad_desc()};
  });
}

/// oneDNN's own order of B for one (k, n): panels of 64 columns, one after the other, whatever the rows of the product. Columns
/// from a multiple of 64 on are therefore a packed matrix of their own.
template <class T>
struct OnednnPacked {
  static constexpr Index panel = 64;
  Index k, n;
  dnnl::memory::desc whole;
  Index panel_elements = 0;  // 0: this oneDNN has another order, which we do not know

  OnednnPacked(Index k_, Index n_) : k(k_), n(n_), whole(onednn_matmul({256, n_, k_, std::is_same_v<T, bfloat16>}).b) {
    const auto& order = whole.data.format_desc.blocking;
    if (whole.data.format_kind == dnnl_blocked && order.inner_nblks >= 2 && order.inner_idxs[1] == 1 &&
        order.inner_blks[1] == panel)
      panel_elements = order.strides[1];
  }

  void pack(Context<Cpu>& ctx, const T* b, Index b_row, Index b_col, T* to) const {
    using dnnl::memory;
    constexpr Index grain = 2 * panel;
    const memory::data_type type = onednn_type<T>();
    ctx.parallel((n + grain - 1) / grain, [&](Index chunk) {
      const Index j = chunk * grain, cols = std::min(grain, n - j);
      const memory::desc order = onednn_matmul({256, cols, k, std::is_same_v<T, bfloat16>}).b;
      onednn_call("reorder", [&] {
        onednn_one_thread();
        dnnl::stream stream(onednn_engine());
        memory from(memory::desc({k, cols}, type, memory::dims{b_row, b_col}), onednn_engine(),
                    const_cast<T*>(b + j * b_col));
        memory out(order, onednn_engine(), to + j / panel * panel_elements);
        dnnl::reorder(from, out).execute(stream, from, out);
        stream.wait();
      });
    });
  }
};

template <class T>
class OnednnGemm {
  static constexpr bool bf16 = std::is_same_v<T, bfloat16>;

 public:
  static constexpr GemmKernels<T> kernels() { return {&run, &packed_bytes, &pack}; }

  static std::size_t packed_bytes(Index k, Index n) {
    if (k < 1 || n < 1) return 0;
    const OnednnPacked<T> packed(k, n);
    return packed.panel_elements == 0 ? 0 : packed.whole.get_size();
  }
  static void pack(Context<Cpu>& ctx, Index k, Index n, const T* b, Index b_row, Index b_col, void* to) {
    OnednnPacked<T>(k, n).pack(ctx, b, b_row, b_col, static_cast<T*>(to));
  }

  static void run(Context<Cpu>& ctx, const GemmCall<T>& call) {
    const Index m = call.m, n = call.n, k = call.k;
    if (m <= 0 || n <= 0) return;
    const OnednnPacked<T> packed(k, n);
    if (k < 1 || packed.panel_elements == 0) return default_cpu_provider().template gemm<T>().run(ctx, call);

    // oneDNN 2.6 silently computes wrong sums when the rows of A or C are further apart than they are long: A is copied then, and the
    // pieces of C are dense.
    const bool copy_a = (call.a_col != 1 && k > 1) || (call.a_row != k && m > 1);
    Index rows = std::min<Index>(m, 304), cols = std::min<Index>((n + 63) / 64 * 64, 1152);
    const Index small = (Index{4} << 20) / std::max<Index>(1, k);
    while (cols > 128 && ((m + rows - 1) / rows) * ((n + cols - 1) / cols) < 16 && rows * cols > small)
      cols = (cols / 2 + 63) / 64 * 64;
    const Index row_pieces = (m + rows - 1) / rows, col_pieces = (n + cols - 1) / cols;
    const Index sums_bytes = rows * cols * Index{sizeof(float)};
    const Index b_bytes = call.packed_b != nullptr ? 0 : (static_cast<Index>(packed.whole.get_size()) + 63) / 64 * 64;
    const Index a_bytes = copy_a ? (m * k * Index{sizeof(T)} + 63) / 64 * 64 : 0;
    const Storage scratch(ctx.memory(), static_cast<std::size_t>(a_bytes + b_bytes + ctx.threads() * sums_bytes));
    unsigned char* const base = static_cast<unsigned char*>(scratch.data());
    const T* a = call.a;
    if (copy_a) {
      T* const to = reinterpret_cast<T*>(base);
      ctx.parallel_range(m, 64, [&](Index begin, Index end) {
        if (call.a_col == 1) {
          for (Index i = begin; i < end; ++i) std::copy_n(call.a + i * call.a_row, k, to + i * k);
        } else {
          for (Index u = 0; u < k; ++u)
            for (Index i = begin; i < end; ++i) to[i * k + u] = call.a[i * call.a_row + u * call.a_col];
        }
      });
      a = to;
    }
    const T* b = static_cast<const T*>(call.packed_b);
    if (b == nullptr) {
      T* const to = reinterpret_cast<T*>(base + a_bytes);
      packed.pack(ctx, call.b, call.b_row, call.b_col, to);
      b = to;
    }

    ctx.pool().run(row_pieces * col_pieces, [&](Index piece, int worker) {
      const Index i = piece % row_pieces * rows, j = piece / row_pieces * cols;
      const Index r = std::min(rows, m - i), s = std::min(cols, n - j);
      float* const c = reinterpret_cast<float*>(base + a_bytes + b_bytes + worker * sums_bytes);
      const OnednnMatmul product = onednn_matmul({r, s, k, bf16});
      const Storage scratchpad(ctx.memory(), product.scratchpad.get_size());
      onednn_call("matmul", [&] {
        using dnnl::memory;
        onednn_one_thread();
        dnnl::stream stream(onednn_engine());
        product.primitive.execute(
            stream,
            {{DNNL_ARG_SRC, memory(product.a, onednn_engine(), const_cast<T*>(a + i * k))},
             {DNNL_ARG_WEIGHTS, memory(product.b, onednn_engine(), const_cast<T*>(b + j / 64 * packed.panel_elements))},
             {DNNL_ARG_DST, memory(product.c, onednn_engine(), c)},
             {DNNL_ARG_SCRATCHPAD, memory(product.scratchpad, onednn_engine(), scratchpad.data())}});
        stream.wait();
      });
      finish_tile<T>(ctx.isa(), call, call.accumulate, i, r, j, s, c, s);
    });
  }
};

template <class T>
constexpr GemmKernels<T> onednn_gemm_kernels() {
  return OnednnGemm<T>::kernels();
}

}  // namespace braing3n::inline BRAING3N_ABI::detail

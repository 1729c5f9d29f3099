// The built-in matrix products: every table this machine can run, every element type.
#include "tests/support/gemm_cases.hpp"

using namespace braing3n;

namespace {

template <class T>
void check_builtin() {
  int checked = 0;
  for (const CpuProvider* provider : builtin_cpu_providers())
    if (provider->isa <= detect_isa()) test::check_gemm<T>(*provider), ++checked;
  CHECK(checked >= 1);
}

}  // namespace

TEST_CASE("gemm: float") { check_builtin<float>(); }
TEST_CASE("gemm: double") { check_builtin<double>(); }
TEST_CASE("gemm: bfloat16") { check_builtin<bfloat16>(); }

TEST_CASE("gemm: more columns than are packed at once") {
  Context<Cpu> ctx({.threads = 2});
  // Rows in two chunks, so that B is packed ahead: 64 MiB are 3276 columns of this k.
  test::Product<float> p(ctx, 90, 3400, 5121, false, true);
  p.add_bias();
  p.run();
  for (Index i : {0, 89})
    for (Index j = 0; j < p.n; j += 13) {
      double sum = p.bias[static_cast<std::size_t>(j)];
      for (Index u = 0; u < p.k; ++u)
        sum += static_cast<double>(p.a[static_cast<std::size_t>(i * p.k + u)]) *
               static_cast<double>(p.b[static_cast<std::size_t>(j * p.k + u)]);
      REQUIRE(static_cast<double>(p.c[static_cast<std::size_t>(i * p.n + j)]) == sum);
    }
}

TEST_CASE("provider: the default is the fastest this machine can run") {
  const Context<Cpu> ctx;
  CHECK(&ctx.provider() == &default_cpu_provider());
  CHECK(ctx.provider().isa == std::min(detect_isa(), Isa::avx512bf16));
  CHECK(ctx.isa() == ctx.provider().isa);
}

TEST_CASE("provider: tables are found by name") {
  for (const CpuProvider* p : builtin_cpu_providers()) CHECK(&find_cpu_provider(p->name) == p);
  CpuProvider mine;
  mine.name = "mine";
  const CpuProvider* more[] = {&mine};
  CHECK(&find_cpu_provider("mine", more) == &mine);
  try {
    find_cpu_provider("avx1024", more);
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::argument);
    CHECK(e.text() == "provider: expected one of avx512bf16, avx512, avx2, portable, mine, got \"avx1024\"");
  }
}

TEST_CASE("provider: a table below the machine keeps element-wise loops there too") {
  const Context<Cpu> ctx({.provider = &find_cpu_provider("portable")});
  CHECK(ctx.isa() == Isa::baseline);
}

TEST_CASE("provider: a table above the machine is refused") {
  CpuProvider future;
  future.name = "future";
  future.isa = static_cast<Isa>(static_cast<int>(Isa::avx512bf16) + 1);
  try {
    const Context<Cpu> ctx({.provider = &future});
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::environment);
    CHECK(e.id() == "provider.isa");
  }
}

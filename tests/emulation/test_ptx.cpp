// The functions of ptx.cuh in the emulation: tensor-core products, matrix loads, asynchronous copies.
#include <cstdint>

#include "braing3n/backend/cuda/ptx.cuh"
#include "core/sanitizers.hpp"
#include "support.hpp"

using namespace emulation;
using namespace emulation::test;
using namespace braing3n::detail;

namespace {

std::uint16_t bf16(float v) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16); }
/// A small integer that differs from place to place, exact in bf16.
float number(int row, int column) { return static_cast<float>((row * 7 + column * 3) % 11 - 5); }

/// d (16 x 8) = a (16 x 16) b (16 x 8): a by ldmatrix from shared memory, b as stored by columns.
void product(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  BRAING3N_SHARED(std::uint16_t, rows, 16 * 16);
  const int lane = static_cast<int>(threadIdx.x);
  cp_async_16(rows + 8 * lane, a + 8 * lane, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  std::uint32_t fa[4], fb[2];
  ldmatrix_x4<false>(fa, rows + lane % 16 * 16 + lane / 16 * 8);
  for (int h = 0; h < 2; ++h) std::memcpy(&fb[h], b + lane / 4 * 16 + 8 * h + lane % 4 * 2, 4);
  float sum[4] = {1, 1, 1, 1};
  mma_bf16_16x8x16(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sum[i];
}

/// d (16 x 8) = the first 8 columns of a (16 x 16) times the first 8 rows of b (16 x 8, by columns).
void half_product(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const int lane = static_cast<int>(threadIdx.x);
  std::uint32_t fa[2], fb;
  for (int r = 0; r < 2; ++r) std::memcpy(&fa[r], a + (lane / 4 + 8 * r) * 16 + lane % 4 * 2, 4);
  std::memcpy(&fb, b + lane / 4 * 16 + lane % 4 * 2, 4);
  float sum[4] = {1, 1, 1, 1};
  mma_bf16_16x8x8(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sum[i];
}

/// The four 8 x 8 matrices of a (16 x 16), each transposed, as pairs of elements.
void transposed(const std::uint16_t* a, std::uint32_t* pairs) {
  BRAING3N_SHARED(std::uint16_t, rows, 16 * 16);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; ++i) rows[8 * lane + i] = a[8 * lane + i];
  __syncthreads();
  std::uint32_t r[4];
  ldmatrix_x4<true>(r, rows + lane % 16 * 16 + lane / 16 * 8);
  for (int m = 0; m < 4; ++m) pairs[32 * m + lane] = r[m];
}

/// Copies 16 bytes per thread in two groups; `wait` says whether the second is waited for.
template <bool wait>
void copy_in_groups(const float* x, float* y) {
  BRAING3N_SHARED(float, row, 256);
  const int t = static_cast<int>(threadIdx.x);
  cp_async_16(row + 4 * t, x + 4 * t, true);
  cp_async_commit();
  cp_async_16(row + 128 + 4 * t, x, false);
  cp_async_commit();
  cp_async_wait<1>();
  y[t] = row[4 * t];
  if (wait) {
    cp_async_wait<0>();
    y[32 + t] = row[128 + 4 * t];
  }
}
constexpr int pending_line = __LINE__ - 9;  // of the second copy

void reads_before_the_wait(const float* x, float* y) {
  BRAING3N_SHARED(float, row, 128);
  const int t = static_cast<int>(threadIdx.x);
  cp_async_16(row + 4 * t, x + 4 * t, true);
  cp_async_commit();
  const float early = row[4 * t];
  cp_async_wait<0>();
  y[t] = early;
}

constexpr int copy_line = __LINE__ + 3;
void copies_from_an_odd_place(const float* x) {
  BRAING3N_SHARED(float, row, 8);
  cp_async_16(row, x + 1, true);
}
constexpr int load_line = __LINE__ + 4;
void loads_from_an_odd_place(float*) {
  BRAING3N_SHARED(std::uint16_t, row, 64);
  std::uint32_t r[4];
  ldmatrix_x4<false>(r, row + 4);
}
void asks_for_dynamic_memory(float* y) { y[0] = static_cast<float>(dynamic_shared_memory()[0]); }
void uses_dynamic_memory(float* y) {
  auto* const row = reinterpret_cast<float*>(dynamic_shared_memory());
  y[threadIdx.x] = row[threadIdx.x];
  __syncthreads();
  row[threadIdx.x] = 3;
  __syncthreads();
  y[32 + threadIdx.x] = row[31 - threadIdx.x];
}

std::vector<std::uint16_t> matrix() {
  std::vector<std::uint16_t> a;
  for (int i = 0; i < 256; ++i) a.push_back(bf16(number(i / 16, i % 16)));
  return a;
}

}  // namespace

TEST_CASE("mma and ldmatrix multiply small integers exactly") {
  const With with;
  Device d;
  std::vector<std::uint16_t> b;
  for (int i = 0; i < 128; ++i) b.push_back(bf16(number(i % 16 + 5, i / 16)));  // by columns
  float* const y = d.allocate<float>(128);
  CHECK(faults_of(d, product, 1, 32, d.upload(matrix()), d.upload(b), y) == "");
  const auto result = d.download(y, 128);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      float sum = 1;
      for (int k = 0; k < 16; ++k) sum += number(row, k) * number(k + 5, column);
      CHECK(result[static_cast<std::size_t>(row * 8 + column)] == sum);
    }
}

TEST_CASE("mma of half the depth") {
  const With with;
  Device d;
  std::vector<std::uint16_t> b;
  for (int i = 0; i < 128; ++i) b.push_back(bf16(number(i % 16 + 5, i / 16)));  // by columns
  float* const y = d.allocate<float>(128);
  CHECK(faults_of(d, half_product, 1, 32, d.upload(matrix()), d.upload(b), y) == "");
  const auto result = d.download(y, 128);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      float sum = 1;
      for (int k = 0; k < 8; ++k) sum += number(row, k) * number(k + 5, column);
      CHECK(result[static_cast<std::size_t>(row * 8 + column)] == sum);
    }
}

TEST_CASE("pairs of bf16 are rounded to nearest even, the first in the lower half") {
  CHECK(pack_bf16(1.0f, -2.0f) == 0xc0003f80u);
  CHECK(pack_bf16(1.00390625f, 1.01171875f) == 0x3f823f80u);  // both half way
  CHECK(pack_bf16(1.004f, 0x1p-140f) == 0x00003f81u);         // just above half way; too small
  CHECK((pack_bf16(NAN, INFINITY) & 0xffff7f80u) == 0x7f807f80u);
}

TEST_CASE("powers of two without subnormal results") {
  CHECK(exp2_approx(0.0f) == 1.0f);
  CHECK(exp2_approx(-3.0f) == 0.125f);
  CHECK(exp2_approx(0.5f) == doctest::Approx(1.41421356).epsilon(1e-6));
  CHECK(exp2_approx(-126.0f) == 0x1p-126f);
  CHECK(exp2_approx(-127.0f) == 0.0f);
  CHECK(exp2_approx(-INFINITY) == 0.0f);
  CHECK(std::isnan(exp2_approx(NAN)));
}

TEST_CASE("ldmatrix transposes") {
  const With with;
  Device d;
  std::uint32_t* const y = d.allocate<std::uint32_t>(128);
  CHECK(faults_of(d, transposed, 1, 32, d.upload(matrix()), y) == "");
  const auto pairs = d.download(y, 128);
  for (int m = 0; m < 4; ++m)
    for (int l = 0; l < 32; ++l) {
      const int row = m % 2 * 8 + 2 * (l % 4), column = m / 2 * 8 + l / 4;
      const std::uint32_t expected =
          bf16(number(row, column)) | static_cast<std::uint32_t>(bf16(number(row + 1, column))) << 16;
      CHECK(pairs[static_cast<std::size_t>(32 * m + l)] == expected);
    }
}

TEST_CASE("asynchronous copies arrive with the wait, and one that nobody waits for is reported with its line") {
  const With with;
  Device d;
  float* const x = d.upload(std::vector<float>(128, 5.0f));
  float* const y = d.allocate<float>(64);
  CHECK(faults_of(d, copy_in_groups<true>, 1, 32, x, y) == "");
  const auto v = d.download(y, 64);
  CHECK(v[31] == 5);
  CHECK(v[32] == 0);  // a copy that is not valid writes zeros
  const std::string fault = faults_of(d, copy_in_groups<false>, 1, 32, x, y);
  CHECK(contains(fault, "the kernel ends before cp.async at " + line(__FILE__, pending_line) + " was waited for"));
}

TEST_CASE("whoever reads before the wait reads NaN, and the address sanitizer ends the program") {
  const With with({.threads = 1});
  const auto read = [] {
    Device d;
    float* const y = d.allocate<float>(32);
    faults_of(d, reads_before_the_wait, 1, 32, d.upload(std::vector<float>(128, 5.0f)), y);
    return d.download(y, 32);
  };
#if defined(EMULATION_ASAN)
  CHECK(contains(last_words([&] { read(); }), "AddressSanitizer: use-after-poison"));
#else
  for (const float v : read()) CHECK(std::isnan(v));
#endif
}

TEST_CASE("addresses that are not aligned to 16 bytes are reported with file and line") {
  const With with;
  Device d;
  float* const x = d.allocate<float>(64);
  CHECK(contains(faults_of(d, copies_from_an_odd_place, 1, 1, x),
                 "cp.async at " + line(__FILE__, copy_line) + ": an address is not aligned to 16 bytes"));
  CHECK(contains(faults_of(d, loads_from_an_odd_place, 1, 32, x),
                 "ldmatrix at " + line(__FILE__, load_line) + ": a row is not aligned to 16 bytes"));
}

TEST_CASE("dynamic shared memory is what the launch asked for, NaN at first") {
  const With with;
  Device d;
  float* const y = d.allocate<float>(64);
  CHECK(contains(faults_of(d, asks_for_dynamic_memory, 1, 1, y), "the launch gave no dynamic shared memory"));
  CHECK(d.launch(uses_dynamic_memory, 2, 32, 128, y) == cudaSuccess);
  const auto v = d.download(y, 64);
  CHECK(std::isnan(v[0]));
  CHECK(v[32] == 3);
  take_races();  // two blocks write the same places
}

// The same cases on oneDNN's product.
#include "braing3n/backend/cpu/providers/onednn.hpp"
#include "tests/support/gemm_cases.hpp"

using namespace braing3n;

TEST_CASE("gemm: oneDNN, float") { test::check_gemm<float>(onednn_cpu_provider(), false); }
TEST_CASE("gemm: oneDNN, bfloat16") { test::check_gemm<bfloat16>(onednn_cpu_provider(), false); }

#!/usr/bin/env bash
# Mistakes that the compiler has to refuse with a readable sentence: each program below must fail, and say what stands beside it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
compilers=(g++)
if command -v clang++-19 >/dev/null; then compilers+=(clang++-19); fi

refused() {  # NAME SENTENCE MOST_ERRORS, program on stdin
  cat >"$scratch/$1.cpp"
  for compiler in "${compilers[@]}"; do
    if "$compiler" -std=c++20 -Iinclude -isystem /usr/include/eigen3 -fsyntax-only "$scratch/$1.cpp" >"$scratch/out" 2>&1; then
      echo "messages: $1 was accepted by $compiler" >&2
      return 1
    fi
    grep -qF "$2" "$scratch/out" || { cat "$scratch/out" >&2; echo "messages: $1: $compiler does not say '$2'" >&2; return 1; }
    local errors
    errors=$(grep -c ' error: ' "$scratch/out")
    if [[ $errors -gt $3 ]]; then
      cat "$scratch/out" >&2
      echo "messages: $1: $compiler prints $errors errors, at most $3 are readable" >&2
      return 1
    fi
  done
  echo "messages: $1 is refused readably by ${compilers[*]}"
}

# The same program on the other backend has to compile, or the refusals below would prove nothing.
cat >"$scratch/good.cpp" <<'CPP'
#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/linear.hpp"
using namespace braing3n;
Tensor<float, Cpu> f(const Tensor<float, Cpu>& x, const Tensor<float, Cpu>& w) { return linear_forward(x, w); }
void g(const Tensor<float, Cuda>&);  // naming and passing the type is allowed
CPP
for compiler in "${compilers[@]}"; do
  "$compiler" -std=c++20 -Iinclude -isystem /usr/include/eigen3 -fsyntax-only "$scratch/good.cpp"
done

refused cuda_in_cpp "target braing3n::cuda" 2 <<'CPP'
#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/linear.hpp"
using namespace braing3n;
Tensor<float, Cuda> f(const Tensor<float, Cuda>& x, const Tensor<float, Cuda>& w) { return linear_forward(x, w); }
CPP

refused cuda_in_eigen "as_eigen takes a tensor on the CPU" 2 <<'CPP'
#include "braing3n/backend/cpu.hpp"
#include "braing3n/interop/eigen.hpp"
using namespace braing3n;
auto f(Tensor<float, Cuda>& x) { return as_eigen(x).rows(); }
CPP

refused cuda_in_xtensor "as_xtensor takes a tensor on the CPU" 2 <<'CPP'
#include "braing3n/backend/cpu.hpp"
#include "braing3n/interop/xtensor.hpp"
using namespace braing3n;
auto f(Tensor<float, Cuda>& x) { return as_xtensor<2>(x).size(); }
CPP

refused no_backend "include braing3n/backend/cpu.hpp to launch on the CPU" 4 <<'CPP'
#include "braing3n/ops/linear.hpp"
using namespace braing3n;
Tensor<float, Cpu> f(const Tensor<float, Cpu>& x, const Tensor<float, Cpu>& w) { return linear_forward(x, w); }
CPP

refused norm_on_cuda "braing3n/cuda.cuh from a .cu file to launch on a GPU" 4 <<'CPP'
#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/layer_norm.hpp"
using namespace braing3n;
auto f(const Tensor<float, Cuda>& x, const Tensor<float, Cuda>& w) { return layer_norm_forward(x, w, w).y; }
CPP

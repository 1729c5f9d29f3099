#!/usr/bin/env bash
# Compiles bench/gpu against the host emulation of CUDA, without generating code; with --run it is built and runs at small sizes: check_gpu_benches.sh [--run]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
flags=(-std=c++20 -DBRAING3N_EMULATE_CUDA -Itests/emulation -Itests/emulation/toolkit -I. -Iinclude -isystem /usr/include/nifti -isystem /usr/include/eigen3
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Wno-deprecated-declarations)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for source in bench/gpu/*.cu; do
  if [[ ${1:-} == --run ]]; then
    ${CXX:-clang++-19} "${flags[@]}" -O0 -x c++ "$source" tests/emulation/core/*.cpp -o "$scratch/program" -lnifti2 -lz -pthread
    "$scratch/program" --small
  else
    ${CXX:-clang++-19} "${flags[@]}" -fsyntax-only -x c++ "$source"
  fi
done
echo "GPU benchmarks: $(ls bench/gpu/*.cu | wc -l) compiled"

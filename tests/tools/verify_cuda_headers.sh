#!/usr/bin/env bash
# Compiles every .cuh header alone with nvcc, for the two architectures of the CUDA backend. Says "skipped" without nvcc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! command -v nvcc >/dev/null; then
  echo "CUDA headers: skipped, no nvcc"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0
while IFS= read -r header; do
  echo "#include \"${header#include/}\"" >"$scratch/one.cu"
  for arch in sm_80 sm_90a; do
    nvcc -std=c++20 -arch="$arch" -DEIGEN_NO_CUDA --extended-lambda --expt-relaxed-constexpr -Werror all-warnings -Iinclude \
      -isystem /usr/include/eigen3 -c "$scratch/one.cu" -o "$scratch/one.o" || { echo "CUDA headers: $header fails for $arch" >&2; exit 1; }
  done
  count=$((count + 1))
done < <(find include -name '*.cuh' | sort)
echo "CUDA headers: $count compiled alone"

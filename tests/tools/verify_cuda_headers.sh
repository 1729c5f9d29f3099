#!/usr/bin/env bash
# Compiles every .cuh header and every header of backend/cuda alone with nvcc to PTX, for the older architecture of the CUDA backend, which
# has fewer instructions. Says "skipped" without nvcc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! command -v nvcc >/dev/null; then
  echo "CUDA headers: skipped, no nvcc"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
check() {  # HEADER
  local unit
  unit=$(mktemp -d "$scratch/XXXXXX")
  echo "#include \"${1#include/}\"" >"$unit/one.cu"
  nvcc -std=c++20 -arch=compute_80 -DEIGEN_NO_CUDA --extended-lambda \
    --expt-relaxed-constexpr -Werror all-warnings -Iinclude -isystem /usr/include/eigen3 -ptx "$unit/one.cu" -o "$unit/one.ptx" ||
    { echo "CUDA headers: $1 fails" >&2; return 1; }
}
export -f check
export scratch
mapfile -t headers < <({ find include -name '*.cuh'; find include/braing3n/backend/cuda -name '*.hpp'; } | sort)
printf '%s\0' "${headers[@]}" | xargs -0 -n 1 -P "${JOBS:-2}" bash -c 'check "$1"' _
echo "CUDA headers: ${#headers[@]} compiled alone"

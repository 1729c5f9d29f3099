#!/usr/bin/env bash
# Runs the CUDA kernels in the host emulation under clang's sanitizers: check_emulation.sh [SANITIZERS...]
# Default: thread, then address,undefined. Needs no GPU and no CUDA toolkit. JOBS=N limits the parallel compilers (default 2).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
jobs=${JOBS:-2}
if [[ $# -eq 0 ]]; then set -- thread address,undefined; fi
for sanitizers in "$@"; do
  build=build-emulation-${sanitizers//,/-}
  # The emulation is compiled with -O1, its tests with -O0 (tests/CMakeLists.txt). They are header-only here: braing3n::compiled would take
  # minutes.
  cmake -S . -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
    -DBRAING3N_SANITIZE="$sanitizers" -DBRAING3N_UNITY=ON -DBRAING3N_WERROR=ON -DBRAING3N_BUILD_COMPILED=OFF -DBRAING3N_BUILD_EXAMPLES=OFF \
    -DBRAING3N_CUDA=OFF >"$build.log" || { cat "$build.log" >&2; exit 1; }
  cmake --build "$build" --parallel "$jobs" --target test_emulation test_cuda_emulated
  UBSAN_OPTIONS=print_stacktrace=1 ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error -R '^(emulation|cuda_emulated_.*)$'
  echo "emulation: passed with -fsanitize=$sanitizers"
done

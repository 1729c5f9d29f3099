#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests: ./run-tests.sh [--slow] [CMAKE OPTIONS...]
#   --slow   also the tests that take minutes
# JOBS=N limits the parallel compilers (default: the number of processors).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
jobs=${JOBS:-$(nproc)}

slow=false
if [[ ${1:-} == --slow ]]; then
  slow=true
  shift
fi

./setup.sh
cmake --preset dev -DBRAING3N_UNITY=ON "$@"  # everything is compiled once
cmake --build --preset dev --parallel "$jobs"
ctest --preset dev --parallel "$jobs"
if $slow; then
  ctest --preset slow
fi

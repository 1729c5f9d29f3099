#!/usr/bin/env bash
# Installs what is missing, builds the program braing3n and runs its quickstart: ./quickstart.sh [OPTIONS OF quickstart]
# JOBS=N limits the parallel compilers (default: the number of processors).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./setup.sh
cmake --preset dev -DBRAING3N_UNITY=ON  # everything is compiled once
cmake --build --preset dev --parallel "${JOBS:-$(nproc)}" --target braing3n_program
exec build-dev/bin/braing3n quickstart "$@"

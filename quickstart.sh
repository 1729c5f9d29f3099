#!/usr/bin/env bash
# Installs what is missing, builds the program `quickstart` and runs it: ./quickstart.sh [OPTIONS OF quickstart]
# JOBS=N limits the parallel compilers (default: the number of processors).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./setup.sh
cmake --preset dev
cmake --build --preset dev --parallel "${JOBS:-$(nproc)}" --target example_quickstart
exec build-dev/bin/quickstart "$@"

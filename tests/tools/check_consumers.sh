#!/usr/bin/env bash
# Installs braing3n into a scratch folder and builds tests/consumer against the installation: check_consumers.sh BUILD_DIR
# BUILD_DIR is a configured and built tree of this project.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
jobs=${JOBS:-2}

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
# Moved after the installation: nothing in it may hold an absolute path.
mv "$scratch/prefix" "$scratch/moved"
if [[ -x $build/bin/braing3n ]]; then "$scratch/moved/bin/braing3n" --version; fi
if grep -rlF -e "$scratch/prefix" -e "$PWD" "$scratch/moved/share/cmake" "$scratch/moved/share/pkgconfig" "$scratch/moved/include"; then
  echo "consumers: the files above hold a path of the build machine" >&2
  exit 1
fi

consume() {  # NAME, then CMake options
  local name=$1
  shift
  cmake -S tests/consumer -B "$scratch/$name" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/moved" "$@" >"$scratch/$name.log" 2>&1 ||
    { cat "$scratch/$name.log" >&2; return 1; }
  cmake --build "$scratch/$name" --parallel "$jobs" >>"$scratch/$name.log" 2>&1 || { cat "$scratch/$name.log" >&2; return 1; }
}

consume plain
"$scratch/plain/consumer"
consume core -DCONSUMER=core
"$scratch/core/consumer_core"
native=
if [[ -f $scratch/moved/share/cmake/braing3n/braing3nCompiledTargets.cmake ]]; then
  consume compiled -DCONSUMER=compiled
  "$scratch/compiled/consumer"
  # One source: beside it, another compiler may run.
  { consume native -DCONSUMER=native && "$scratch/native/consumer_native"; } &
  native=$!
fi

# Plain compiler calls, with what pkg-config prints: its flags compile the program, its libraries link what CMake has compiled above.
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$scratch/moved/share/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
  read -ra flags <<<"$(pkg-config --cflags braing3n)"
  read -ra libraries <<<"$(pkg-config --libs braing3n)"
  g++ "${flags[@]}" -fsyntax-only tests/consumer/main.cpp
  objects=$scratch/plain/CMakeFiles/consumer.dir
  g++ "$objects/main.cpp.o" "$objects/second.cpp.o" "${libraries[@]}" -o "$scratch/plain_compiler"
  "$scratch/plain_compiler"
  echo "consumer by pkg-config: passed"
else
  echo "consumer by pkg-config: skipped, no pkg-config"
fi
if [[ -n $native ]]; then
  wait "$native" || { echo "consumers: the one with -march=native fails" >&2; exit 1; }
  echo "consumer with -march=native, Eigen of its own and AddressSanitizer: passed"
fi

# A component that does not exist is refused with the list of those that do.
if cmake -S tests/consumer -B "$scratch/wrong" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/moved" -DCONSUMER=wrong >"$scratch/wrong.log" 2>&1; then
  echo "consumers: find_package(braing3n COMPONENTS tpu) was accepted" >&2
  exit 1
fi
grep -q "braing3n has no component 'tpu'" "$scratch/wrong.log" || { cat "$scratch/wrong.log" >&2; exit 1; }
# The wrong version likewise.
if cmake -S tests/consumer -B "$scratch/version" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/moved" -DCONSUMER_VERSION=99.0 >"$scratch/version.log" 2>&1; then
  echo "consumers: find_package(braing3n 99.0) was accepted" >&2
  exit 1
fi

# A library that is missing is named with the target that needs it, its packages and the components that were asked for.
hidden() {  # PACKAGE COMPONENTS SENTENCE; an empty sentence: the package is not needed
  local log=$scratch/hidden.log
  if cmake -S tests/consumer -B "$scratch/hidden" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/moved" -U "CMAKE_DISABLE_FIND_PACKAGE_*" -DCONSUMER=components \
    -DCONSUMER_COMPONENTS="$2" -DCMAKE_DISABLE_FIND_PACKAGE_"$1"=ON >"$log" 2>&1; then
    if [[ -n $3 ]]; then echo "consumers: $2 was found without $1" >&2; return 1; fi
  elif [[ -z $3 ]] || ! tr -s ' \n' ' ' <"$log" | grep -qF "$3"; then
    cat "$log" >&2
    echo "consumers: $2 without $1 does not say '$3'" >&2
    return 1
  fi
}
hidden Eigen3 "core;cpu;io;xtensor;nifti" ""
hidden Eigen3 linalg "braing3n::linalg needs Eigen 3.4 (Debian: libeigen3-dev; Conan: eigen), asked for: linalg"
hidden Eigen3 probe "braing3n::linalg needs Eigen 3.4 (Debian: libeigen3-dev; Conan: eigen), asked for: probe"
hidden Eigen3 "" "braing3n::linalg needs Eigen 3.4 (Debian: libeigen3-dev; Conan: eigen), asked for: braing3n"
hidden spectra linalg "braing3n::linalg needs Spectra 1.0 (Debian: libspectra-dev; Conan: spectra), asked for: linalg"
hidden xtensor "cpu;linalg" ""
hidden xtensor nifti "braing3n::xtensor needs xtensor 0.24 (Debian: libxtensor-dev; Conan: xtensor), asked for: nifti"
hidden nlohmann_json io "braing3n::io needs nlohmann_json 3.11"
hidden ZLIB io "braing3n::io needs zlib"
if [[ -f $scratch/moved/share/cmake/braing3n/braing3nCompiledCudaTargets.cmake ]]; then
  consume compiled_cuda -DCONSUMER=compiled_cuda
  "$scratch/compiled_cuda/consumer_compiled_cuda"
else
  hidden none compiled_cuda "braing3n::compiled_cuda is part of installations that were built with BRAING3N_CUDA=ON, this one was not"
fi
echo "consumers: missing libraries are named"

if command -v nvcc >/dev/null; then
  consume cuda -DCONSUMER=cuda
  "$scratch/cuda/consumer_cuda"
else
  echo "consumer .cpp + .cu: skipped, no nvcc"
fi
echo "consumers: all passed"

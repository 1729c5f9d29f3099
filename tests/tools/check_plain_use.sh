#!/usr/bin/env bash
# The headers in other people's programs: README's program with README's own command, the programs in docs/ as they stand, after the
# macros of Qt and X11, and the flags that are refused. Nothing is linked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
compiler=${CXX:-g++}

# README: the block of code and the command that follows it.
awk '/^```cpp file=tests\/docs\/test_reconstruct/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md >"$scratch/app.cpp"
echo 'int main(int, char** argv) { reconstruct(argv[1], argv[2], argv[3]); }' >>"$scratch/app.cpp"
command=$(grep -m1 '^g++ .* app[.]cpp' README.md) || { echo "plain use: README has no g++ command" >&2; exit 1; }
flags=$(grep -oE -- '-(std=|I)[^ ]+' <<<"$command" | tr '\n' ' ')
read -ra flags <<<"$flags"
"$compiler" "${flags[@]}" -Wall -Wextra -Werror -fsyntax-only "$scratch/app.cpp"
echo "plain use: README's program compiles with ${flags[*]}"

# What every program includes must not cost it Eigen's decompositions.
echo '#include <braing3n/braing3n.hpp>' >"$scratch/umbrella.cpp"
"$compiler" "${flags[@]}" -I/usr/include/eigen3 -M "$scratch/umbrella.cpp" >"$scratch/umbrella.d"
if grep -E 'Eigen/src/(Eigenvalues|Cholesky|SVD|QR|LU)/|Spectra/' "$scratch/umbrella.d"; then
  echo "plain use: braing3n.hpp includes the decompositions above" >&2
  exit 1
fi
echo "plain use: braing3n.hpp is free of Eigen's decompositions"

# Blocks in docs/ that are whole programs: they include what they name, and nothing else is added.
awk -v folder="$scratch" 'FNR == 1 { inside = 0 } /^```cpp *$/ { inside = 1; file = folder "/doc" ++n ".cpp"; next } /^```/ { inside = 0 }
  inside { print > file }' docs/*.md
for program in "$scratch"/doc*.cpp; do
  if grep -q '^int main' "$program"; then "$compiler" "${flags[@]}" -Wall -Wextra -Werror -fsyntax-only "$program"; fi
done
echo "plain use: the programs in docs/ compile"

# Names that <QObject> and <X11/Xlib.h> define. Third parties come first: their names are not ours to choose.
grep -rhoE '^#include <(nlohmann|xtensor|Eigen|Spectra|zlib|[a-z_]+>|sys/|unistd|fcntl|immintrin)[^>]*>?' include --include='*.hpp' | grep -v containers/ | sort -u >"$scratch/macros.cpp"
cat >>"$scratch/macros.cpp" <<'CPP'
#include <braing3n/volume/nifti/clib.hpp>
#define slots
#define signals public
#define emit
#define foreach(a, b) for (a : b)
#define forever for (;;)
#define Q_SLOTS
#define Q_SIGNALS public
#define Q_EMIT
#define None 0L
#define Bool int
#define Status int
#define True 1
#define False 0
#define Success 0
#define Always 2
#define Complex 0
#define Convex 2
#define Unsorted 0
#define KeyPress 2
#define Above 0
#define Below 1
#define GrayScale 1
#include <braing3n/braing3n.hpp>
#include <braing3n/generate.hpp>
#include <braing3n/forecast.hpp>
#include <braing3n/probe.hpp>
#include <braing3n/train.hpp>
CPP
"$compiler" "${flags[@]}" -I/usr/include/eigen3 -fsyntax-only "$scratch/macros.cpp"
echo "plain use: compiles after the macros of Qt and X11"

echo '#include <braing3n/base/config.hpp>' >"$scratch/flags.cpp"
for flag in -ffast-math -Ofast -ffinite-math-only; do
  if "$compiler" "${flags[@]}" "$flag" -fsyntax-only "$scratch/flags.cpp" 2>"$scratch/out" || ! grep -q 'cannot be compiled with' "$scratch/out"; then
    echo "plain use: $flag is not refused with its sentence" >&2
    exit 1
  fi
done
"$compiler" "${flags[@]}" -O3 -fno-math-errno -fsyntax-only "$scratch/flags.cpp"
echo "plain use: flags that assume finite values are refused"

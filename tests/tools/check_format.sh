#!/usr/bin/env bash
# Says which source files clang-format 19 would change, by .clang-format; --write changes them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! command -v clang-format-19 >/dev/null; then
  echo "format: no clang-format-19 (Debian: clang-format-19)" >&2
  exit 1
fi
mapfile -d '' -t files < <(find include src tests examples bench test_package -type f \
  \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' \) -print0 | sort -z)
if [[ ${1:-} == --write ]]; then
  clang-format-19 -i "${files[@]}"
  echo "format: ${#files[@]} files written"
  exit 0
fi
unlike=0
for file in "${files[@]}"; do
  if ! clang-format-19 --dry-run --Werror "$file" >/dev/null 2>&1; then
    echo "format: $file"
    unlike=$((unlike + 1))
  fi
done
if [[ $unlike -gt 0 ]]; then
  echo "format: $unlike of ${#files[@]} files differ; tests/tools/check_format.sh --write changes them" >&2
  exit 1
fi
echo "format: ${#files[@]} files are as .clang-format says"

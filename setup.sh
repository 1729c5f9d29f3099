#!/usr/bin/env bash
# Makes sure that the Debian packages are there: ./setup.sh [LIST...], LIST from packages/ (default: debian12).
# Missing packages are installed when this user may do so (root or sudo); otherwise the command to run is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

lists=("$@")
[[ ${#lists[@]} -gt 0 ]] || lists=(debian12)

wanted=()
for list in "${lists[@]}"; do
  while read -r line; do
    line=${line%%#*}
    for package in $line; do wanted+=("$package"); done
  done <"packages/$list.txt"
done

if ! command -v apt-get >/dev/null; then
  echo "setup: no apt-get here. Debian calls what is needed: ${wanted[*]}"
  echo "setup: going on; CMake names what it cannot find."
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "setup: all ${#wanted[@]} packages are installed"
  exit 0
fi

echo "setup: missing: ${missing[*]}"
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    as_root=(sudo)
  else
    echo "setup: not root and no sudo. Ask an administrator to run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
# "env" because sudo does not pass the variable on.
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
echo "setup: installed ${#missing[@]} packages"

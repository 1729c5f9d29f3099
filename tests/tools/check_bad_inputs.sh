#!/usr/bin/env bash
# Runs inspect and preprocess on bad input of every kind: one sentence each, the right exit code, nothing half-written.
#   check_bad_inputs.sh BIN_DIR
# Exit codes: 1 some of several scans failed, 2 refused, 3 the environment (a full disk). Needs python3 (no packages) to make the files.
set -euo pipefail
bin=$(realpath "$1")
tools=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
cd "$scratch"
python3 "$tools/make_bad_inputs.py" .
cases=0

expect() {  # EXIT_CODE TEXT command...: the code, one line on standard error, and that text in what is printed
  local code=$1 text=$2 came=0
  shift 2
  cases=$((cases + 1))
  timeout 60 "$@" >out 2>err || came=$?
  if [[ $came -ne $code ]] || ! grep -qF -- "$text" out err; then
    cat out err >&2
    echo "bad inputs: '$*' ended with $came, expected $code and '$text'" >&2
    exit 1
  fi
  if grep -qiE "unexpected:|terminate|what\(\)|std::|Sanitizer" err; then
    cat err >&2
    echo "bad inputs: '$*' does not speak plainly" >&2
    exit 1
  fi
}
empty() {  # a folder that must have stayed empty or absent, hidden files included
  if [[ -e $1 && -n $(ls -A "$1") ]]; then
    ls -lA "$1" >&2
    echo "bad inputs: something was left in $1" >&2
    exit 1
  fi
}
small=(--shape 20,24,20 --spacing 2,2,2 --quiet --threads 1)

# Every refused scan: a sentence from inspect, the same from preprocess, and nothing written.
while IFS=$'\t' read -r file text; do
  expect 2 "$text" "$bin/braing3n" inspect --threads 1 "$file"
  expect 2 '"type":"refused"' "$bin/braing3n" inspect --threads 1 --json "$file"
  expect 2 "$text" "$bin/braing3n" preprocess "${small[@]}" --out ready "$file"
  empty ready
done <<'LIST'
truncated.nii	the file is cut off or its header is wrong
truncated.nii.gz	the gzip stream ends too early
corrupt.nii.gz	the gzip stream
bomb.nii.gz	gzip bomb
dims_huge.nii	the dimensions multiply to more than 2^40 voxels
dims_beyond.nii	the header promises 300 x 300 x 300 voxels of int16
dims_beyond.nii.gz	the header promises 300 x 300 x 300 voxels of int16
dims_zero.nii	dimension 2 is 0, expected at least 1
dims_negative.nii	dimension 2 is -24, expected at least 1
magic.nii	the magic is "nix
datatype.nii	the element type 9999 is not one of NIfTI's
several.nii	the file holds 3 volumes (20 x 24 x 20 x 3): expected the number of one of them, 0 to 2, got none (--index N chooses)
empty.nii	the file is empty
absent.nii	absent.nii
text.nii	not a NIfTI file
folder.nii	is a folder
LIST
# Scans that can be read but not used: inspect reports and refuses, preprocess refuses.
while IFS=$'\t' read -r file text; do
  expect 2 "$text" "$bin/braing3n" inspect --threads 1 "$file"
  expect 2 "$text" "$bin/braing3n" preprocess "${small[@]}" --out ready "$file"
  empty ready
done <<'LIST'
singular.nii	is singular
zero.nii	every voxel is 0
all_nan.nii	every voxel is NaN or infinite
LIST
# Suspicious scans: a warning, a result; refused with --strict.
while IFS=$'\t' read -r file text; do
  expect 0 "$text" "$bin/braing3n" inspect --threads 1 "$file"
  expect 2 "$text" "$bin/braing3n" inspect --threads 1 --strict "$file"
  expect 2 "$text" "$bin/braing3n" preprocess "${small[@]}" --strict --out ready "$file"
  empty ready
  expect 0 "1 of 1 scans written" "$bin/braing3n" preprocess "${small[@]}" --out warned --force "$file"
done <<'LIST'
constant.nii	every voxel has the same value 7
some_nan.nii	2 of 9600 voxels are NaN or infinite; they count as 0
single_slice.nii	a single slice
LIST
expect 0 "written to warned" "$bin/braing3n" preprocess "${small[@]}" --out warned --index 1 several.nii
expect 2 "expected the number of a volume, 0 to 2, got 3" "$bin/braing3n" preprocess "${small[@]}" --out ready --index 3 several.nii
# One bad scan among good ones: the others are done.
expect 1 "1 of 2 scans written" "$bin/braing3n" preprocess "${small[@]}" --out mixed good.nii truncated.nii
expect 1 "truncated.nii" "$bin/braing3n" inspect good.nii truncated.nii
expect 2 "expected scans or --data" "$bin/braing3n" preprocess --out x

# Tables.
while IFS=$'\t' read -r file text; do
  expect 2 "$text" "$bin/braing3n" inspect --threads 1 "$file"
  expect 2 "$text" "$bin/braing3n" preprocess "${small[@]}" --data "$file" --cache c.cache
  [[ ! -e c.cache ]]
done <<'LIST'
duplicate.csv	line 3: volume_id "a" was used in line 2 already
ragged.csv	line 3
noid.csv	line 2: no subject_id
escape.csv	cannot be an id
empty.csv	empty.csv
LIST
# A label that cannot be used does not stop a cohort: it is named, and missing; refused with --strict.
while IFS=$'\t' read -r file text; do
  expect 0 "$text" "$bin/braing3n" inspect --threads 1 "$file"
  expect 2 "$text" "$bin/braing3n" inspect --threads 1 --strict "$file"
done <<'LIST'
age.csv	line 2: column "age": expected a number, got "seventy"
range.csv	line 2: column "age": expected 0 to 130, got 700
sex.csv	line 2: column "sex": expected one of F, M, got "x"
idh1.csv	line 2: column "idh1": expected one of wildtype, mutant, got "maybe"
LIST
expect 2 'no column "subject_id"; did you mean "subjct_id"' "$bin/braing3n" preprocess "${small[@]}" --data column.csv --cache c.cache
expect 2 'no column "path"; a table without paths needs a pattern' "$bin/braing3n" preprocess "${small[@]}" --data nopath.csv --cache c.cache
expect 2 "absent.csv" "$bin/braing3n" preprocess "${small[@]}" --data absent.csv --cache c.cache
expect 2 "1 of 2 files does not exist: gone.nii" "$bin/braing3n" inspect --threads 1 missing.csv
expect 1 "1 of 2 scans in c.cache" "$bin/braing3n" preprocess "${small[@]}" --data missing.csv --cache c.cache
expect 2 "none of the 1 scans could be read" "$bin/braing3n" preprocess "${small[@]}" --data allgone.csv --cache none.cache
expect 0 "disease has values outside the known ones: alzheimer" "$bin/braing3n" inspect --threads 1 unknown.csv
expect 2 "disease has values outside the known ones: alzheimer" "$bin/braing3n" inspect --threads 1 --strict unknown.csv
[[ ! -e none.cache ]]
[[ -z $(find . -name '.*.part' -o -name '*.part') ]]

# Outputs: existing, in the way, not writable, shared by two scans, the input itself, a full disk.
expect 0 "1 of 1" "$bin/braing3n" preprocess "${small[@]}" --out done good.nii
before=$(cksum done/good.nii.gz)
expect 2 "exists already; nothing was overwritten" "$bin/braing3n" preprocess "${small[@]}" --out done good.nii
[[ $(cksum done/good.nii.gz) == "$before" ]]
expect 0 "1 of 1" "$bin/braing3n" preprocess "${small[@]}" --force --out done good.nii
expect 2 "expected a name in .png" "$bin/braing3n" inspect --png text.nii good.nii
cp text.nii text.png
expect 2 "exists already; nothing was overwritten" "$bin/braing3n" inspect --png text.png good.nii
expect 2 "exists already; nothing was overwritten" "$bin/braing3n" preprocess "${small[@]}" --data good.csv --cache c.cache
expect 2 "cannot make the folder" "$bin/braing3n" preprocess "${small[@]}" --out text.nii/ready good.nii
expect 2 "no such folder: no/such/folder" "$bin/braing3n" inspect --png no/such/folder/x.png good.nii
mkdir other && cp good.nii other/good.nii
expect 2 "would both be written as ready/good.nii.gz" "$bin/braing3n" preprocess "${small[@]}" --force --out ready good.nii other/good.nii
empty ready
mkdir inplace && gzip -c good.nii >inplace/good.nii.gz && before=$(cksum inplace/good.nii.gz)
expect 2 "is an input" "$bin/braing3n" preprocess "${small[@]}" --force --out inplace inplace/good.nii.gz
[[ $(cksum inplace/good.nii.gz) == "$before" ]]
ln inplace/good.nii.gz inplace/hard.png && ln -s good.nii.gz inplace/soft.npy
expect 2 "is an input" "$bin/braing3n" inspect --force --png inplace/hard.png inplace/good.nii.gz
expect 2 "is an input" "$bin/braing3n" inspect --force --npy inplace/soft.npy inplace/good.nii.gz
expect 2 "is an input" "$bin/braing3n" inspect --json-log inplace/good.nii.gz inplace/good.nii.gz
expect 2 "is an input" "$bin/braing3n" preprocess "${small[@]}" --force --data good.csv --cache good.csv --json-log good.csv
[[ $(cksum inplace/good.nii.gz) == "$before" ]]
# Empty names, names that say another format.
expect 2 "--out: an empty value" "$bin/braing3n" preprocess "${small[@]}" --out "" good.nii
expect 2 "--png: an empty value" "$bin/braing3n" inspect --png "" good.nii
expect 2 "expected a name in .cache, .safetensors" "$bin/braing3n" preprocess "${small[@]}" --data good.csv --cache c.nii.gz
# What was never downloaded, and what is something else.
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n' >pointer.nii.gz
cp pointer.nii.gz pointer.safetensors && cp pointer.nii.gz pointer.csv && cp pointer.nii.gz pointer.npz && cp pointer.nii.gz pointer.npy
for file in pointer.*; do expect 2 "Git LFS pointer" "$bin/braing3n" inspect "$file"; done
expect 2 "Git LFS pointer" "$bin/braing3n" preprocess --model pointer.safetensors --out ready good.nii
ln -s ../.git/annex/objects/a/b/c.nii.gz annexed.nii.gz
expect 2 "git-annex link" "$bin/braing3n" inspect annexed.nii.gz
printf '<!DOCTYPE html><html>sign in</html>' >page.nii.gz
expect 2 "an HTML page" "$bin/braing3n" inspect page.nii.gz
printf '{"shape": [1, 1, 1]} {"shape": [2, 2, 2]}' >two.json
expect 2 "two.json" "$bin/braing3n" preprocess --contract two.json --print-contract
if [[ $(id -u) -ne 0 ]]; then
  mkdir locked && chmod a-w locked
  expect 2 "Permission denied" "$bin/braing3n" preprocess "${small[@]}" --out locked good.nii
  expect 2 "Permission denied" "$bin/braing3n" preprocess "${small[@]}" --data good.csv --cache locked/c.cache
fi
# A limit on the size of files stands in for a full disk.
printf '#!/usr/bin/env bash\nulimit -f "$1"; trap "" XFSZ; shift; exec "$@"\n' >limited && chmod +x limited
expect 3 "File too large" ./limited 2 "$bin/braing3n" preprocess "${small[@]}" --out full good.nii
empty full
expect 3 "File too large" ./limited 8 "$bin/braing3n" preprocess "${small[@]}" --data good.csv --cache full.cache
expect 3 "File too large" ./limited 1 "$bin/braing3n" inspect --png full.png good.nii
expect 3 "File too large" ./limited 8 "$bin/braing3n" inspect --npy full.npy good.nii
[[ -z $(ls -A | grep -E 'full[.]|[.]part') ]]
if [[ -c /dev/full ]]; then
  expect 3 "standard output" bash -c "'$bin/braing3n' inspect good.nii >/dev/full"
fi
echo "bad inputs: $cases runs said what was wrong and left nothing behind"

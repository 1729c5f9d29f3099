#!/usr/bin/env bash
# The programs to read, one after the other on phantoms that they make themselves: check_library_examples.sh BIN_DIR
set -euo pipefail
checks="library examples"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
bin=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

expect 0 "tokenizer step 4: loss" "$bin/train_mae_cnn_tokenizer" --out models --steps 4
expect 0 "transformer step 4: loss" "$bin/train_conditional_dit" --tokenizer models/tokenizer.safetensors --out models/dit.safetensors --steps 4
expect 0 "SYNTHETIC_0001.nii.gz: SYNTHETIC braing3n" "$bin/sample_brains" models/dit.safetensors models/tokenizer.safetensors age=70,sex=F brains 3
[[ -s brains/SYNTHETIC_0000.json ]]
expect 1 "one of the conditions sex, age" "$bin/sample_brains" models/dit.safetensors models/tokenizer.safetensors weight=70 none 3
[[ ! -e none ]]
expect 0 "SSIM in the brain" "$bin/reconstruct_a_scan" models/tokenizer.safetensors brains/SYNTHETIC_0000.nii.gz back.nii.gz
[[ -s back.nii.gz ]]
expect 1 "none.nii.gz" "$bin/reconstruct_a_scan" models/tokenizer.safetensors none.nii.gz back.nii.gz

# A table of scans for the trainers, which need four people at least.
"$bin/sample_brains" models/dit.safetensors models/tokenizer.safetensors age=30,sex=M more 3 >/dev/null
{
  echo volume_id,subject_id,path,sex,age
  echo a,a,brains/SYNTHETIC_0000.nii.gz,F,70
  echo b,b,brains/SYNTHETIC_0001.nii.gz,F,71
  echo c,c,more/SYNTHETIC_0000.nii.gz,M,30
  echo d,d,more/SYNTHETIC_0001.nii.gz,M,31
} >volumes.csv
expect 0 "step 2: loss" "$bin/train_a_tokenizer" models/mae.safetensors volumes.csv tokenizer.safetensors 2
expect 0 "SSIM" "$bin/reconstruct_a_scan" tokenizer.safetensors brains/SYNTHETIC_0000.nii.gz back.nii.gz
expect 0 "tokenizer step 2" "$bin/train_mae_cnn_tokenizer" --out of_table --data volumes.csv --steps 2
expect 0 "transformer step 2" "$bin/train_conditional_dit" --tokenizer of_table/tokenizer.safetensors --out of_table/dit.safetensors --data volumes.csv --steps 2

echo id,one,two >features.csv
echo id,sex >labels.csv
for i in $(seq 60); do
  echo "p$i,$((i % 2)).$((i * 7 % 10)),0.$((i * 3 % 10))" >>features.csv
  echo "p$i,$([[ $((i % 2)) == 0 ]] && echo F || echo M)" >>labels.csv
done
expect 0 "sex: auc 1" "$bin/probe_a_table" features.csv labels.csv sex probe.safetensors
[[ -s probe.safetensors ]]
expect 1 "height" "$bin/probe_a_table" features.csv labels.csv height none
expect 0 "inner.weight" "$bin/new_layer"
for program in reconstruct_a_scan sample_brains probe_a_table train_a_tokenizer train_mae_cnn_tokenizer train_conditional_dit; do
  expect 2 "usage: $program" "$bin/$program" --no-such-option
done
echo "library examples: done"

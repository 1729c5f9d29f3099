#!/usr/bin/env bash
# Runs convert and inspect as a user would: check_programs.sh BIN_DIR [FIXTURES]
set -euo pipefail
checks="programs"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
bin=$(realpath "$1")
fixtures=$(realpath "${2:-$(dirname "${BASH_SOURCE[0]}")/../fixtures}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

absent() { [[ ! -e $1 ]] || { echo "programs: $1 exists and must not" >&2; exit 1; }; }

monai=$fixtures/mae_monai timm=$fixtures/mae_timm_names kl=$fixtures/autoencoder_kl_monai
expect 0 "50 matched, 30 ignored, 0 missing, 0 unexpected, 0 mis-shaped" "$bin/braing3n" convert --from monai --config "$monai/config.json" "$monai/weights.safetensors" mae
expect 0 "398,908 parameters" "$bin/braing3n" convert --from monai --config "$monai/config.json" "$monai/weights.safetensors" again
cmp mae again
expect 2 "exists already" "$bin/braing3n" convert --from monai --config "$monai/config.json" "$monai/weights.safetensors" mae
expect 0 "50 matched" "$bin/braing3n" convert --force --from timm --config "$timm/config.json" "$timm/weights.safetensors" mae
expect 0 "30 matched, 50 ignored" "$bin/braing3n" convert --from monai --model encoder --config "$monai/config.json" "$monai/weights.safetensors" encoder
expect 0 "92 matched, 94 ignored" "$bin/braing3n" convert --from monai --model autoencoder-decoder --config "$kl/config.json" "$kl/weights.safetensors" decoder

# The wrong scheme, the wrong sizes: exit 1, a table, nothing written.
expect 1 "nothing was written" "$bin/braing3n" convert --from timm --config "$timm/config.json" "$monai/weights.safetensors" bad
absent bad
sed 's/"mlp_dim": 96/"mlp_dim": 95/' "$monai/config.json" >other.json
expect 1 "6 mis-shaped" "$bin/braing3n" convert --from monai --config other.json "$monai/weights.safetensors" bad
absent bad
# Nothing can start: exit 2.
sed 's/"num_layers": *[0-9]*/"num_layers": 1/' "$monai/config.json" >shallow.json
expect 1 "of the model's own parts are unused; nothing was written" "$bin/braing3n" convert --from monai --config shallow.json "$monai/weights.safetensors" bad
expect 2 "--from is required" "$bin/braing3n" convert --config other.json a b
expect 2 "No such file" "$bin/braing3n" convert --from monai --config none.json "$monai/weights.safetensors" bad
head -c 1000 "$monai/weights.safetensors" >cut
expect 2 "but only 992 bytes follow" "$bin/braing3n" convert --from monai --config "$monai/config.json" cut bad
printf 'PK\003\004 a pickle in a zip' >model.pt
expect 2 "pickle" "$bin/braing3n" convert --from monai --config "$monai/config.json" model.pt bad
absent bad
# Four bytes after the last tensor are a warning.
{ cat "$monai/weights.safetensors"; printf 'tail'; } >tail
expect 0 "4 bytes after the last tensor are ignored" "$bin/braing3n" convert --from monai --config "$monai/config.json" tail tailed

expect 0 "encoder                196,005,888" "$bin/braing3n" inspect --config paper
expect 0 "MAE decoder            133,576,192" "$bin/braing3n" inspect --config paper
expect 0 "tokenizer decoder       43,669,409" "$bin/braing3n" inspect --config paper
expect 0 "diffusion transformer  292,887,968" "$bin/braing3n" inspect --config paper
expect 0 "checksum: good" "$bin/braing3n" inspect mae
expect 0 '"checksum":"good"' "$bin/braing3n" inspect --json mae
printf 'a,b\n1,n/a\n2,x\n' >table.csv
expect 0 '"rows":2' "$bin/braing3n" inspect --json table.csv
expect 1 "cut: safetensors: a header of" "$bin/braing3n" inspect cut mae
expect 2 "cut: safetensors: a header of" "$bin/braing3n" inspect cut
expect 2 "expected either files or --config" "$bin/braing3n" inspect
cp mae damaged
printf 'x' | dd of=damaged bs=1 seek=$(($(stat -c %s damaged) - 1)) conv=notrunc status=none
expect 2 "the content is damaged" "$bin/braing3n" inspect damaged
expect 0 "not read" "$bin/braing3n" inspect --no-checksum damaged
expect 0 "Research use only" "$bin/braing3n" inspect --help
echo "programs: convert and inspect passed"

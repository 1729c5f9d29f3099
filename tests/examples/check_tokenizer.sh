#!/usr/bin/env bash
# From scans to reconstructions with the programs, as a user would: check_tokenizer.sh BIN_DIR [FIXTURES]
# phantom_cohort -> mae_pretrain -> tokenizer_train -> encode -> reconstruct, resuming, and what must be refused.
set -euo pipefail
checks="tokenizer programs"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
bin=$(realpath "$1")
fixtures=$(realpath "${2:-$(dirname "${BASH_SOURCE[0]}")/../fixtures}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

same() {
  for file in "$1"/{model,last,state}.safetensors "$1/log.jsonl"; do
    cmp "$file" "$2/$(basename "$file")" || { echo "tokenizer programs: $file and its twin in $2 differ" >&2; exit 1; }
  done
}

expect 0 "" "$bin/braing3n" phantom_cohort --out cohort --subjects 8 --shape 40,48,40 --quiet
data=cohort/volumes.csv
cat >mae.json <<'END'
{"model": {"encoder": {"image": [40, 48, 40], "patch": [8, 8, 8], "width": 48, "depth": 2, "heads": 4, "mlp": 96},
           "decoder_width": 24, "decoder_depth": 1, "decoder_heads": 4, "decoder_mlp": 48},
 "contract": {"shape": [40, 48, 40], "spacing": [4, 4, 4], "centring": "mass"},
 "training": {"steps": 12, "batch": 2, "lr": 0.002, "validate_every": 4, "augment": {"flip": true, "shift": 1}}}
END
cat >tokenizer.json <<'END'
{"bottleneck": 16, "decoder": {"plan": "d1", "mid": 16, "widths": [16, 8, 8], "groups": 4},
 "training": {"steps": 8, "batch": 2, "lr": 0.004, "validate_every": 4, "ema": {"decay": 0.9, "warmup": true}}}
END
common=(--quiet --threads 2 --validation 0.25)

# Phase 1: whole, and in three parts, one of which ends by kill -9.
expect 0 "collapse check" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}"
expect 0 "stopped after step 5 of 12" "$bin/braing3n" mae_pretrain --data $data --out parts --config mae.json "${common[@]}" --stop-at 5
"$bin/braing3n" mae_pretrain --data $data --out parts --config mae.json "${common[@]}" --resume auto >/dev/null 2>&1 & killed=$!
sleep 0.3
kill -9 $killed 2>/dev/null || true
wait $killed 2>/dev/null || true
expect 0 "best validation loss" "$bin/braing3n" mae_pretrain --data $data --out parts --config mae.json "${common[@]}" --resume auto
same mae parts
# Phase 2 the same way.
expect 0 "best validation loss" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok --config tokenizer.json "${common[@]}"
expect 0 "stopped after step 3 of 8" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tokparts --config tokenizer.json "${common[@]}" --stop-at 3
expect 0 "best validation loss" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tokparts --config tokenizer.json "${common[@]}" --resume auto
same tok tokparts
for file in curves.svg preview.png config.json split.csv; do [[ -s tok/$file ]] || { echo "tokenizer programs: no tok/$file" >&2; exit 1; }; done

# Features and latents of all; a second call finds everything finished; another model does not continue the file.
expect 0 "features of 8 scans" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --latents latents.safetensors --quiet
expect 0 "8 scans are finished already" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --latents latents.safetensors
expect 2 "cannot be continued" "$bin/braing3n" encode --model mae --data $data --out features.safetensors --quiet
expect 0 "(16) each" "$bin/braing3n" encode --model tok --data $data --features projected --out projected.csv --quiet
scan=$(find cohort -name '*.nii.gz' | sort | head -1)
expect 0 "(48) each" "$bin/braing3n" encode --model mae/model.safetensors --in "$scan" --out one.npy --quiet
expect 0 "SSIM" "$bin/braing3n" reconstruct --model tok --in "$scan" --out back.nii.gz --png back.png --quiet
expect 0 "voxels" "$bin/braing3n" inspect back.nii.gz
[[ -s back.png ]]
expect 2 "exists already" "$bin/braing3n" reconstruct --model tok --in "$scan" --out back.nii.gz --quiet
# What inspect says about a scan, the programs that read it say: a line per kind, in the log too. This background is not 0.
python3 - "$scan" <<'END'
import gzip, struct, sys
raw = bytearray(gzip.decompress(open(sys.argv[1], "rb").read()))
at = int(struct.unpack_from("<f", raw, 108)[0])
voxels = raw[at:]
twice = bytearray(raw)
struct.pack_into("<8h", twice, 40, 4, *struct.unpack_from("<3h", raw, 42), 2, 1, 1, 1)
backwards = b"".join(voxels[i:i + 2] for i in range(len(voxels) - 2, -1, -2))  # another volume
open("two.nii", "wb").write(bytes(twice) + backwards)
low = min(struct.unpack("<%dh" % (len(voxels) // 2), voxels))
shifted = b"".join(struct.pack("<h", low + 500 if v == low else v) for v in struct.unpack("<%dh" % (len(voxels) // 2), voxels))
open("odd.nii", "wb").write(bytes(raw[:at]) + shifted)
END
odd="the background has the value"
expect 0 "odd.nii: $odd" "$bin/braing3n" encode --model tok --in odd.nii --out odd.csv --json-log odd.jsonl
grep -qF "$odd" odd.jsonl
expect 0 "odd.nii: $odd" "$bin/braing3n" reconstruct --model tok --in odd.nii --out odd.nii.gz
expect 2 "$odd" "$bin/braing3n" encode --model tok --in odd.nii --out strict.csv --strict
awk -F, -v OFS=, 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "path") at = i } NR > 1 { $at = (NR < 4 ? "../odd.nii" : $at) } 1' $data >cohort/odd.csv
expect 0 "$odd" "$bin/braing3n" mae_pretrain --data cohort/odd.csv --out oddmae --config mae.json --threads 2 --validation 0.25 --steps 4 --json-log odd.jsonl
[[ $(grep -cF "$odd" out) == 1 ]] || { echo "tokenizer programs: more than a line about one kind" >&2; exit 1; }
# A file with several volumes: one is chosen, and another choice is another input.
for program in encode reconstruct; do
  case $program in encode) to=(--out two.safetensors) ;; *) to=(--out two.nii.gz) ;; esac
  expect 2 "0 to 1, got none (--index N chooses)" "$bin/braing3n" $program --model tok --in two.nii "${to[@]}" --quiet
  expect 0 "" "$bin/braing3n" $program --model tok --in two.nii "${to[@]}" --index 1 --quiet
done
expect 0 "1 scans are finished already" "$bin/braing3n" encode --model tok --in two.nii --out two.safetensors --index 1
expect 0 "features of 1 scans" "$bin/braing3n" encode --model tok --in two.nii --out two.safetensors --index 0
if grep -q "finished already" out; then echo "tokenizer programs: another volume of the file counts as finished" >&2; exit 1; fi
# A table names the volume of each scan: the rows are those of the two calls, --index beside it is refused, a cache notices another volume.
printf 'volume_id,subject_id,path,volume_index\na,s,two.nii,0\nb,t,two.nii,1\n' >two.csv
expect 0 "features of 2 scans" "$bin/braing3n" encode --model tok --data two.csv --out pair.csv --quiet
for row in 0 1; do
  expect 0 "" "$bin/braing3n" encode --model tok --in two.nii --out one.csv --index $row --force --quiet
  cmp <(sed -n 2p one.csv | cut -d, -f2-) <(sed -n $((row + 2))p pair.csv | cut -d, -f2-)
done
expect 2 "expected that column or --index, got both" "$bin/braing3n" encode --model tok --data two.csv --out both.csv --index 1 --quiet
cut -d, -f1-3 two.csv >none.csv
expect 2 "a column volume_index of the table for each scan" "$bin/braing3n" encode --model tok --data none.csv --out never.csv --quiet
expect 2 "got none; a column volume_index of the table can name one" "$bin/braing3n" mae_pretrain --data none.csv --out anew --config mae.json --validation 0.5 --quiet
expect 0 "2 of 2 scans in" "$bin/braing3n" preprocess --model tok --data two.csv --cache two.cache --quiet
expect 0 "2 of 2 scans written" "$bin/braing3n" preprocess --model tok --data two.csv --out each --quiet
cmp -s each/a.nii.gz each/b.nii.gz && { echo "tokenizer programs: two volumes of a file are the same" >&2; exit 1; }
expect 0 "b " "$bin/braing3n" reconstruct --model tok --data two.csv --out volumes --quiet
expect 0 "no two scans have the same voxels" "$bin/braing3n" inspect two.csv
sed 's/two.nii,1/two.nii,0/' two.csv >same.csv
expect 2 "other volumes of the files than the table names: b" "$bin/braing3n" mae_pretrain --data same.csv --cache two.cache --out anew --config mae.json --validation 0.5 --quiet
# In bfloat16: close to the same, and never in one file with the others. Memory: planned before, compared after, refused when too little.
expect 0 "SSIM" "$bin/braing3n" reconstruct --model tok --in "$scan" --out half.nii.gz --precision bf16 --quiet
expect 0 "features of 8 scans" "$bin/braing3n" encode --model tok --data $data --out half.safetensors --precision bf16 --quiet
expect 2 "cannot be continued" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --precision bf16 --quiet
expect 0 "MB at the most" "$bin/braing3n" reconstruct --model tok --in "$scan" --out back.nii.gz --force --max-memory 4000
expect 2 "the model and the scan alone need" "$bin/braing3n" reconstruct --model tok --in "$scan" --out new.nii.gz --max-memory 5 --quiet

# A converted autoencoder: its contract comes by flags, to convert once or to encode each time; then it works like ours.
monai=$fixtures/mae_monai
expect 0 "mae3d" "$bin/braing3n" convert --from monai --config "$monai/config.json" "$monai/weights.safetensors" bare.safetensors
expect 2 "carries no preprocessing contract" "$bin/braing3n" encode --model bare.safetensors --data $data --out bare.csv --quiet
expect 0 "features of 8 scans, (48) each" "$bin/braing3n" encode --model bare.safetensors --data $data --out bare.csv --shape 32,48,32 --spacing 5,5,5 --quiet
expect 0 "mae3d" "$bin/braing3n" convert --from monai --config "$monai/config.json" --shape 32,48,32 --spacing 5,5,5 "$monai/weights.safetensors" told.safetensors
expect 0 "features of 8 scans, (48) each" "$bin/braing3n" encode --model told.safetensors --data $data --out told.csv --quiet
cmp bare.csv told.csv
expect 2 "another contract" "$bin/braing3n" encode --model told.safetensors --data $data --out new.csv --spacing 4,4,4 --quiet
expect 2 "the model takes 32 x 48 x 32" "$bin/braing3n" convert --from monai --config "$monai/config.json" --shape 40,48,40 "$monai/weights.safetensors" no.safetensors
kl=$fixtures/autoencoder_kl_monai
expect 0 "92 matched, 94 ignored, 0 missing" "$bin/braing3n" convert --from monai --model autoencoder-decoder --config "$kl/config.json" "$kl/weights.safetensors" decoder.safetensors
expect 0 "cnn_decoder3d" "$bin/braing3n" inspect decoder.safetensors
tr -d '\n' <"$kl/config.json" | sed 's/"channels": *\[ *8, *16,/"channels": [8, 32,/' >wide.json
expect 1 "80 matched, 94 ignored, 2 missing, 0 unexpected, 12 mis-shaped" "$bin/braing3n" convert --from monai --model autoencoder-decoder --config wide.json "$kl/weights.safetensors" no.safetensors
expect 2 "a decoder sees no scans" "$bin/braing3n" convert --from monai --model autoencoder-decoder --spacing 1,1,1 --config "$kl/config.json" "$kl/weights.safetensors" no.safetensors
expect 2 'kind "cnn_decoder3d"' "$bin/braing3n" encode --model decoder.safetensors --data $data --out new.csv --quiet
[[ ! -e no.safetensors && ! -e new.csv && ! -e new.nii.gz ]]

# Results never take the place of what is read, whatever is forced; names say what is written.
before=$(cksum "$scan" tok/model.safetensors)
expect 2 "is an input" "$bin/braing3n" reconstruct --model tok --in "$scan" --out "$scan" --force --quiet
expect 2 "is an input" "$bin/braing3n" encode --model tok --in "$scan" --out tok/model.safetensors --force --quiet
expect 2 "two results" "$bin/braing3n" encode --model tok --in "$scan" --out new.safetensors --latents ./new.safetensors --quiet
expect 2 "is an input" "$bin/braing3n" tokenizer_train --encoder tok --data $data --out tok --config tokenizer.json "${common[@]}" --force
[[ $(cksum "$scan" tok/model.safetensors) == "$before" ]]
for name in f.npz f.json f.nii.gz; do expect 2 "expected a name in .safetensors, .csv" "$bin/braing3n" encode --model tok --in "$scan" --out $name --quiet; done
expect 2 "expected a name in .nii.gz, .nii" "$bin/braing3n" reconstruct --model tok --in "$scan" --out r.mgz --quiet
expect 2 "expected a name in .png" "$bin/braing3n" reconstruct --model tok --in "$scan" --out r.nii.gz --png r.jpg --quiet
expect 2 "--out: an empty value" "$bin/braing3n" encode --model tok --in "$scan" --out "" --quiet
[[ -z $(ls -A | grep -E '^(f|r|new)[.]') ]]
printf 'volume_id,subject_id,path\n"one, two",s1,%s\n' "$(realpath "$scan")" >cohort/quoted.csv
expect 0 "features of 1 scans" "$bin/braing3n" encode --model tok --data cohort/quoted.csv --out quoted.CSV --quiet
expect 0 "features of 1 scans" "$bin/braing3n" encode --model tok --data cohort/quoted.csv --out quoted.tsv --quiet
[[ $(sed -n 2p quoted.CSV) == '"one, two",'* && $(sed -n 2p quoted.tsv) == '"one, two"'$'\t'* ]]
expect 0 "voxels" "$bin/braing3n" inspect --model tok "$scan"
expect 0 '"centring": "mass"' "$bin/braing3n" preprocess --model tok --print-contract
expect 0 "tensor" "$bin/braing3n" inspect tok

# One process at a time writes a file or folder; what a killed one leaves is taken over, another host's lock is named.
(exec 9>.features.safetensors.lock; flock 9; printf 'host %s\npid 1\n' "$(uname -n)" >&9; expect 2 "process 1 of this host" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --quiet)
(exec 9>tok/.braing3n.lock; flock 9; printf 'host %s\npid 1\n' "$(uname -n)" >&9; expect 2 "process 1 of this host" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok --config tokenizer.json "${common[@]}" --resume auto)
expect 0 "features of 8 scans" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --quiet
printf 'host far-away\npid 77\n' >.features.safetensors.lock
expect 2 "process 77 of host far-away" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --quiet
rm .features.safetensors.lock

# A cache notices that a scan was made again; a copy with another time is the same scan.
echo '{"shape": [40, 48, 40], "spacing": [4, 4, 4], "centring": "mass"}' >contract.json
expect 0 "8 of 8 scans" "$bin/braing3n" preprocess --contract contract.json --data $data --cache c.cache --quiet
# Jobs may share a folder; two that write one file may not.
mkdir ready
printf 'host far-away\npid 77\n' >"ready/.$(basename "$scan").lock"
expect 2 "process 77 of host far-away" "$bin/braing3n" preprocess --contract contract.json --out ready "$scan" --quiet
[[ ! -e ready/$(basename "$scan") ]]
rm "ready/.$(basename "$scan").lock"
expect 0 "1 of 1 scans" "$bin/braing3n" preprocess --contract contract.json --out ready "$scan" --quiet
[[ -z $(find ready -name '*.lock') ]]
touch "$scan"
expect 0 "stopped after step 1" "$bin/braing3n" mae_pretrain --data $data --out cached --config mae.json "${common[@]}" --cache c.cache --stop-at 1
cp "$scan" kept.nii.gz
cp "$(find cohort -name '*.nii.gz' | sort | tail -1)" "$scan"
expect 2 "older than 1 scan whose file has changed since: sub-0001" "$bin/braing3n" mae_pretrain --data $data --out new --config mae.json "${common[@]}" --cache c.cache
cp kept.nii.gz "$scan"

# A scan that fails in the middle of a cohort: the others go on, exit 1.
head -4 $data >cohort/broken.csv
broken=cohort/$(sed -n 3p $data | tr ',' '\n' | grep 'nii')
cp "$broken" kept.nii.gz
head -c 2000 kept.nii.gz >"$broken"
expect 1 "2 scans" "$bin/braing3n" encode --model tok --data cohort/broken.csv --out broken.safetensors --quiet
expect 1 "mean" "$bin/braing3n" reconstruct --model tok --data cohort/broken.csv --out rebuilt --pictures --quiet
[[ $(find rebuilt -name '*_RECONSTRUCTION.nii.gz' | wc -l) -eq 2 && $(wc -l <rebuilt/scores.csv) -eq 3 ]]
expect 2 "the file is cut off" "$bin/braing3n" reconstruct --model tok --in "$broken" --out no.nii.gz --quiet
[[ ! -e no.nii.gz ]]
cp kept.nii.gz "$broken"

# Refused before anything is computed: exit 2.
expect 2 "got a run" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}"
expect 2 "training.lr" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}" --resume auto --lr 0.5
expect 2 "a batch of 99" "$bin/braing3n" mae_pretrain --data $data --out new --config mae.json "${common[@]}" --batch 99
printf 'subject_id,split\na,train\na,validation\n' >split.csv
expect 2 'is in "train" and in "validation"' "$bin/braing3n" mae_pretrain --data $data --out new --config mae.json "${common[@]}" --split split.csv
{ echo subject_id,split; tail -n +2 $data | cut -d, -f2 | sort -u | sed 's/$/,train/'; } >split.csv
expect 2 'no scan is in the set "validation"' "$bin/braing3n" mae_pretrain --data $data --out new --config mae.json "${common[@]}" --split split.csv
expect 2 "is an input" "$bin/braing3n" mae_pretrain --data $data --out new --config mae.json "${common[@]}" --json-log "$scan"
expect 2 'expected "mae3d" or "vit3d"' "$bin/braing3n" tokenizer_train --model tok --data $data --out new --config tokenizer.json "${common[@]}"
expect 2 "tokenizer.bottleneck" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok --config tokenizer.json "${common[@]}" --resume auto --bottleneck 32
expect 2 "another contract" "$bin/braing3n" encode --model tok --data $data --out new.safetensors --spacing 3,3,3 --shape 40,48,40 --quiet
expect 2 'kind "mae3d"' "$bin/braing3n" reconstruct --model mae --in "$scan" --out new.nii.gz --quiet
head -c 3000 tok/state.safetensors >tokparts/state.safetensors
cp tokparts/state.safetensors tokparts/state.safetensors.previous
expect 2 "no whole training state" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tokparts --config tokenizer.json "${common[@]}" --resume auto
cp features.safetensors tokparts/state.safetensors
rm tokparts/state.safetensors.previous
expect 2 "the file holds a features, expected a braing3n training_state" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tokparts --config tokenizer.json "${common[@]}" --resume auto
cp mae/state.safetensors tokparts/
expect 2 'kind "mae3d" there, "tokenizer" here' "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tokparts --config tokenizer.json "${common[@]}" --resume auto
expect 2 "belongs to another run: seed 2025 there, 5 here" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}" --resume auto --seed 5
expect 2 "config differs at training.steps (12 there, 13 here), training.lr (0.002 there, 0.5 here)" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}" --resume auto --steps 13 --lr 0.5
head -4 $data >cohort/fewer.csv
expect 2 "data manifest" "$bin/braing3n" mae_pretrain --data cohort/fewer.csv --out mae --config mae.json "${common[@]}" --resume auto
cp tok/model.safetensors damaged.safetensors
printf 'xyz' | dd of=damaged.safetensors bs=1 seek=20000 conv=notrunc status=none
expect 2 "the content is damaged" "$bin/braing3n" encode --model damaged.safetensors --in "$scan" --out new.csv --quiet
expect 2 "the content is damaged" "$bin/braing3n" reconstruct --model damaged.safetensors --in "$scan" --out new.nii.gz --quiet
expect 2 "the content is damaged" "$bin/braing3n" tokenizer_train --encoder damaged.safetensors --data $data --out new --config tokenizer.json "${common[@]}"
sed 's/"bottleneck": 16/"bottleneck": 0/' tokenizer.json >zero.json
expect 2 "a bottleneck of at least 1 channel, got 0" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out new --config zero.json "${common[@]}"
expect 2 "expected --in SCAN or --data TABLE" "$bin/braing3n" encode --model tok --out new.csv
[[ ! -e new.csv && ! -e new.nii.gz ]]

# Scans that cannot be read are left out of a training and named; a training in which none can be read does not begin.
head -c 2000 kept.nii.gz >"$broken"
expect 1 "left out" "$bin/braing3n" mae_pretrain --data $data --out without --config mae.json "${common[@]}"
mkdir -p nothing/scans
sed 's|,[^,]*nii.gz|,scans/none.nii.gz|' $data >nothing/volumes.csv
expect 2 "none.nii.gz" "$bin/braing3n" mae_pretrain --data nothing/volumes.csv --out new --config mae.json "${common[@]}"
cp kept.nii.gz "$broken"

# A full disk (a limit on the size of files stands for it): exit 3, what was there stays, nothing is left over. check_resume.sh does it to
# the trainers.
printf '#!/usr/bin/env bash\nulimit -f "$1"; trap "" XFSZ; shift; exec "$@"\n' >limited && chmod +x limited
expect 3 "File too large" ./limited 2 "$bin/braing3n" encode --model tok --data $data --out latents.npy --latents new.safetensors --force --quiet
expect 3 "File too large" ./limited 2 "$bin/braing3n" reconstruct --model tok --in "$scan" --out back.nii.gz --force --quiet
expect 0 "voxels" "$bin/braing3n" inspect back.nii.gz
[[ ! -e new.safetensors && -z $(find . -name '*.part' -o -name '*.lock') ]]
echo "tokenizer programs: passed"

#!/usr/bin/env bash
# Do samples spread as scans do, and are they copies? evaluate fidelity and memorisation, as a user would: check_fidelity.sh BIN_DIR
# phantom_cohort -> mae_pretrain -> tokenizer_train -> encode -> dit_train -> evaluate, and what must be refused.
set -euo pipefail
checks="fidelity programs"
source "$(dirname "${BASH_SOURCE[0]}")/small_models.sh"

expect 0 "" "$bin/braing3n" phantom_cohort --out cohort --subjects 18 --shape 40,48,40 --modalities T1,T2 --quiet
data=cohort/volumes.csv
{
  echo subject_id,split
  for i in $(seq 1 18); do printf 'sub-%04d,%s\n' "$i" "$([[ $i -le 10 ]] && echo train || { [[ $i -le 12 ]] && echo validation || echo test; })"; done
} >split.csv
cat >dit.json <<'END_JSON'
{"model": {"width": 48, "depth": 2, "heads": 4, "mlp": 96,
           "conditions": [{"name": "sex", "values": ["F", "M"]}, {"name": "modality", "values": ["T1", "T2"], "drop": 0, "required": true},
                          {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120}]},
 "training": {"steps": 12, "batch": 4, "lr": 0.002, "validate_every": 12}}
END_JSON
common=(--split split.csv --quiet --threads 2)
expect 0 "" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json "${common[@]}"
expect 0 "" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok --config tokenizer.json "${common[@]}"
expect 0 "" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok2 --config tokenizer.json --steps 1 --seed 3 "${common[@]}"
expect 0 "" "$bin/braing3n" encode --model tok --data $data --latents z.safetensors --out features.safetensors --quiet
expect 0 "" "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config dit.json --tokenizer tok --out dit --preview-steps 1 "${common[@]}"
expect 0 "" "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config dit.json --tokenizer tok --out dit2 --preview-steps 1 --seed 3 "${common[@]}"

# Fidelity: every class an arm, regions beside the truth, distances in one feature space; the same for any number of threads.
fidelity=("$bin/braing3n" evaluate fidelity --model dit --tokenizer tok --data $data --split split.csv --quiet)
few=(--n 3 --steps 2)
expect 0 "two halves of the round trips" "${fidelity[@]}" "${few[@]}" --truth cohort/truth.csv --out fid --threads 2
for text in "sex=F, modality=T1" "sex=M, modality=T1" "modality=T2" "white matter" "fitted on 10 round trips of training scans" "recipe " "6 against 6 of other subjects"; do grep -qF -- "$text" fid/tables.txt; done
[[ -s fid/montage.png ]]
expect 0 "" "${fidelity[@]}" "${few[@]}" --truth cohort/truth.csv --out fid1 --threads 1
for file in fidelity.json tables.txt features.safetensors; do same fid/$file fid1/$file; done
expect 0 "samples, reference (6 rows)" "${fidelity[@]}" "${few[@]}" --conditions sex --reference fid/features.safetensors --out again
! grep -qF "modality=T2" again/tables.txt
! grep -qF "white matter" again/tables.txt
expect 0 "modality=T2" "${fidelity[@]}" "${few[@]}" --within modality=T2 --frechet 0 --out plain
! grep -qF "recipe" plain/tables.txt
refuse() {  # TEXT options of evaluate fidelity...
  local text=$1
  shift
  expect 2 "$text" "${fidelity[@]}" --out new "$@"
}
expect 2 "exists already" "${fidelity[@]}" --out fid
# Another job's picture is a result too.
mkdir -p pictures && echo another >pictures/montage.png
expect 2 "montage.png: exists already" "${fidelity[@]}" --out pictures
[[ $(ls pictures) == montage.png ]]
refuse "expected features of recipe" --reference features.safetensors
refuse "--steps 0" --steps 0
refuse "finite" --cfg nan
refuse 'got "planet"' --cfg-of planet=2
refuse "expected at least 1 scan for them" --frechet 0 --reference fid/features.safetensors
refuse "expected a condition with classes" --conditions age
scan=cohort/$(sed -n 2p $data | cut -d, -f4)  # no log goes into a scan of the cohort
cp "$scan" kept.nii.gz
for log in "$scan" split.csv $data tok/model.safetensors; do refuse "is an input" --json-log "$log"; done
same "$scan" kept.nii.gz
refuse 'got "planet"' --conditions planet
refuse "condition modality: expected one of" --within sex=F
refuse "expected one of T1, T2" --within modality=T3
refuse "no scan in it is unseen" --test train
refuse "10 of the subjects that should be unseen trained the model" --train validation --test train
refuse 'no scan is in the set "nobody"' --test nobody
refuse "expected at least 2 in each" --frechet 3
sed '/sub-0003/d' cohort/truth.csv >short.csv
refuse "no row for" --truth short.csv
refuse "no column" --truth $data
expect 2 "the model learnt the latents of tokenizer" "$bin/braing3n" evaluate fidelity --model dit --tokenizer tok2 --data $data --split split.csv --out new --quiet
sed '/sub-0012/d' split.csv >part.csv
expect 2 "is in no set" "$bin/braing3n" evaluate fidelity --model dit --tokenizer tok --data $data --split part.csv --out new --quiet
rm -rf new

# Memorisation: planted copies are found, honest samples are not; sidecars are made again.
audit=("$bin/braing3n" evaluate memorisation --model dit --tokenizer tok --latents z.safetensors --data $data --split split.csv --quiet)
expect 0 "Planted copies found: 4 of 4" "${audit[@]}" --n 6 --steps 3 --plant 4 --out mem --threads 2
grep -qF "0 of 6 samples" mem/tables.txt
grep -qF '"training_scans": 20' mem/memorisation.json
[[ $(grep -cF '"planted": "sub-' mem/memorisation.json) -eq 4 ]]
[[ -s mem/montage.png ]]
expect 0 "Planted copies found: 4 of 4" "${audit[@]}" --n 6 --steps 3 --plant 4 --out mem1 --threads 1
same mem/memorisation.json mem1/memorisation.json
expect 1 "planted copies were not found" "${audit[@]}" --n 2 --steps 1 --plant 3 --plant-noise 10 --pictures 0 --out noisy
[[ ! -e noisy/montage.png ]]
expect 0 "" "$bin/braing3n" generate --model dit --tokenizer tok --condition modality=T1 --sweep age=30,70 --n 2 --steps 2 --out samples --quiet
expect 0 "SYNTHETIC_0001_age_70.nii.gz" "${audit[@]}" --samples samples --out side
grep -qF "of 4 samples" side/tables.txt
refuse() {  # TEXT options of evaluate memorisation...
  local text=$1
  shift
  expect 2 "$text" "${audit[@]}" --out new "$@"
}
expect 2 "exists already" "${audit[@]}" --out mem
refuse "exclude each other" --samples samples --n 3
refuse "is an input" --json-log "$scan"
refuse "is an input" --samples samples --json-log samples/SYNTHETIC_0001_age_70.json
expect 2 "is an input" "$bin/braing3n" evaluate reconstruction --model tok --data $data --split split.csv --out new --json-log "$scan" --quiet
expect 2 "is an input" "$bin/braing3n" inspect $data --json-log "$scan" --no-scans
same "$scan" kept.nii.gz
refuse "no sidecars" --samples cohort
refuse "no sidecars" --samples nowhere
refuse "--steps 0" --steps 0
refuse "finite" --cfg inf
refuse 'no scan is in the set "nobody"' --train nobody
other=("$bin/braing3n" evaluate memorisation --model dit --tokenizer tok --data $data --split split.csv --out new --quiet --latents)
expect 2 "no tensor" "${other[@]}" features.safetensors
expect 2 "the sample was made by transformer" "$bin/braing3n" evaluate memorisation --model dit2 --tokenizer tok --latents z.safetensors --data $data --split split.csv --samples samples --out new --quiet
expect 0 "" "$bin/braing3n" encode --model tok2 --data $data --latents z2.safetensors --quiet
expect 2 "the latents were made by tokenizer" "${other[@]}" z2.safetensors
[[ ! -e new ]] || { echo "fidelity programs: a refused run left a folder" >&2; exit 1; }
echo "fidelity programs: passed"

#!/usr/bin/env bash
# From latents to brains that do not exist, with the programs, as a user would: check_generation.sh BIN_DIR
# phantom_cohort -> mae_pretrain -> tokenizer_train -> encode --latents -> dit_train -> generate -> --redo, and what must be refused.
set -euo pipefail
checks="generation programs"
source "$(dirname "${BASH_SOURCE[0]}")/small_models.sh"

expect 0 "" "$bin/braing3n" phantom_cohort --out cohort --subjects 8 --shape 40,48,40 --modalities T1,T2 --quiet
data=cohort/volumes.csv
cat >dit.json <<'END_JSON'
{"model": {"width": 48, "depth": 2, "heads": 4, "mlp": 96,
           "conditions": [{"name": "disease"}, {"name": "sex", "values": ["F", "M"]}, {"name": "modality", "values": ["T1", "T2"], "drop": 0, "required": true},
                          {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120}]},
 "drop": {"all": 0.1, "all_but_one": 0.1}, "balance": {"conditions": ["sex"]},
 "training": {"steps": 12, "batch": 4, "lr": 0.002, "validate_every": 4, "ema": {"decay": 0.9999, "warmup": true}}}
END_JSON
common=(--quiet --threads 2)
expect 0 "" "$bin/braing3n" mae_pretrain --data $data --out mae --config mae.json --validation 0.25 "${common[@]}"
expect 0 "" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok --config tokenizer.json --validation 0.25 "${common[@]}"
expect 0 "latents of 16 scans" "$bin/braing3n" encode --model tok --data $data --latents z.safetensors --quiet

# Training: whole, and in two parts with other numbers of threads.
train=("$bin/braing3n" dit_train --latents z.safetensors --labels $data --config dit.json --split tok/split.csv --tokenizer tok --preview-steps 3 --quiet)
expect 0 "validation loss by t" "${train[@]}" --out dit --threads 2
sed 's/"conditions": \[{"name": "disease"}/"conditions": [{"name": "disease"}, {"name": "planet"}/' dit.json >planet.json
expect 2 "condition planet: expected labels, got no such column; columns with labels: " "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config planet.json --out new --quiet
expect 0 "stopped after step 5 of 12" "${train[@]}" --out parts --threads 1 --stop-at 5
expect 0 "best validation loss" "${train[@]}" --out parts --threads 2 --resume auto
for file in {model,last,state}.safetensors log.jsonl time_bins.csv preview.png; do same dit/$file parts/$file; done
[[ $(wc -l <dit/time_bins.csv) -eq 4 ]]
expect 0 "best validation loss" "$bin/braing3n" dit_train --latents z.safetensors --data $data --config dit.json --split tok/split.csv --steps 2 --out blind --quiet  # previews of latents
[[ -s blind/preview.png ]]

# Samples: the same whatever the batch, the threads and what else is made.
make=("$bin/braing3n" generate --model dit --tokenizer tok --condition modality=t1w,sex=female --steps 4 --cfg 1.5 --quiet)
expect 0 "3 SYNTHETIC volumes" "${make[@]}" --n 3 --out a --threads 2
expect 0 "1 SYNTHETIC volume " "${make[@]}" --first 2 --out b --threads 1
same a/SYNTHETIC_0002.nii.gz b/SYNTHETIC_0002.nii.gz
expect 0 "" "${make[@]}" --n 3 --batch 1 --out c
for i in 0 1 2; do same a/SYNTHETIC_000$i.nii.gz c/SYNTHETIC_000$i.nii.gz; same a/SYNTHETIC_000$i.json c/SYNTHETIC_000$i.json; done
differ a/SYNTHETIC_0000.nii.gz a/SYNTHETIC_0001.nii.gz
expect 0 "" "${make[@]}" --out other --seed 7
differ a/SYNTHETIC_0000.nii.gz other/SYNTHETIC_0000.nii.gz
expect 0 "marked SYNTHETIC" "$bin/braing3n" inspect a/SYNTHETIC_0000.nii.gz
expect 0 "4 x 4 x 4 mm, orientation LPS" "$bin/braing3n" inspect a/SYNTHETIC_0000.nii.gz
gzip -dc a/SYNTHETIC_0000.nii.gz >raw.nii
grep -aqF "SYNTHETIC braing3n" raw.nii
rm raw.nii
[[ -s a/montage.png ]]
grep -qF '"sex": "F"' a/SYNTHETIC_0000.json
# The geometry is the model's: a sample can be encoded again.
expect 0 "latents of 1 scans" "$bin/braing3n" encode --model tok --in a/SYNTHETIC_0000.nii.gz --latents back.safetensors --quiet

# A sweep holds the noise; every form of guidance is made again from its sidecar alone.
expect 0 "6 SYNTHETIC volumes" "$bin/braing3n" generate --model dit --tokenizer tok --condition modality=T2 --sweep age=30,50,70.5 --n 2 --sampler heun --steps 3 \
  --cfg age=2 --cfg-interval 0.2,0.9 --out sweep --quiet
[[ -s sweep/montage.png ]]
differ sweep/SYNTHETIC_0000_age_30.nii.gz sweep/SYNTHETIC_0000_age_70.5.nii.gz
expect 0 "the same bytes as before" "$bin/braing3n" generate --redo sweep/SYNTHETIC_0001_age_70.5.json --out again --threads 1 --quiet
same sweep/SYNTHETIC_0001_age_70.5.nii.gz again/SYNTHETIC_0001_age_70.5.nii.gz
same sweep/SYNTHETIC_0001_age_70.5.json again/SYNTHETIC_0001_age_70.5.json
expect 0 "" "${make[@]}" --precision bf16 --out low
expect 0 "the same bytes as before" "$bin/braing3n" generate --redo low/SYNTHETIC_0000.json --out again --quiet
differ low/SYNTHETIC_0000.nii.gz a/SYNTHETIC_0000.nii.gz

# Jobs may share a folder; two that write one volume may not.
mkdir shared
printf 'host far-away\npid 77\n' >shared/.SYNTHETIC_0001.nii.gz.lock
expect 2 "process 77 of host far-away" "${make[@]}" --first 1 --out shared
[[ ! -e shared/SYNTHETIC_0001.nii.gz ]]
expect 0 "1 SYNTHETIC volume " "${make[@]}" --out shared
same a/SYNTHETIC_0000.nii.gz shared/SYNTHETIC_0000.nii.gz
rm shared/.SYNTHETIC_0001.nii.gz.lock
[[ -z $(find shared -name '*.lock') ]]

# Refused before anything is computed: exit 2.
refuse() {  # TEXT options of generate...
  local text=$1
  shift
  expect 2 "$text" "$bin/braing3n" generate --model dit --tokenizer tok --out new --quiet "$@"
}
expect 2 "exists already" "${make[@]}" --out a
refuse "age is -3" --condition modality=T1,age=-3
refuse "age is 250, expected a number from 0 to 120" --condition modality=T1,age=250
refuse "expected one of F, M" --condition modality=T1,sex=X
refuse 'expected one of the conditions disease, sex, modality, age, got "weight"' --condition modality=T1,weight=3
refuse "condition modality: expected one of T1, T2, got none" --condition sex=F
refuse "--steps 0" --condition modality=T1 --steps 0
refuse "expected a finite number" --condition modality=T1 --cfg nan
refuse "which is not given" --condition modality=T1 --cfg age=2
refuse "expected a condition that can be left out" --condition modality=T1 --cfg modality=2
refuse "an interval of t inside [0, 1]" --condition modality=T1 --cfg-interval 0.5,2
refuse "expected a condition without a fixed value, got age, which has one" --condition modality=T1,age=3 --sweep age=4,5
expect 2 "expected --model and --tokenizer" "$bin/braing3n" generate --condition modality=T1 --out new --quiet
[[ ! -e new ]] || { echo "generation programs: a refused run left a folder" >&2; exit 1; }
# Another tokenizer: the same sizes, other weights.
expect 0 "" "$bin/braing3n" tokenizer_train --encoder mae --data $data --out tok2 --config tokenizer.json --validation 0.25 --seed 3 "${common[@]}"
expect 2 "the model learnt the latents of tokenizer" "$bin/braing3n" generate --model dit --tokenizer tok2 --condition modality=T1 --out new --quiet
expect 2 "the latents were made by tokenizer" "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config dit.json --tokenizer tok2 --out new --quiet
expect 2 'expected "dit3d"' "$bin/braing3n" generate --model tok --tokenizer tok --condition modality=T1 --out new --quiet
expect 2 "cannot be given with --redo" "$bin/braing3n" generate --redo low/SYNTHETIC_0000.json --cfg 2 --out new --quiet
expect 2 "not the sidecar" "$bin/braing3n" generate --redo dit.json --out new --quiet
cp -r dit moved
sed -i 's#/dit/model#/gone/model#' low/SYNTHETIC_0000.json
expect 2 "is gone" "$bin/braing3n" generate --redo low/SYNTHETIC_0000.json --out new --quiet
expect 0 "the same bytes" "$bin/braing3n" generate --redo low/SYNTHETIC_0000.json --model moved --out elsewhere --quiet
cp blind/model.safetensors moved/model.safetensors
expect 2 "is not the one that made the sample" "$bin/braing3n" generate --redo low/SYNTHETIC_0000.json --model moved --out new --quiet
# Controllability. The validation subjects of the runs are unseen.
evaluate=("$bin/braing3n" evaluate controllability --model dit --tokenizer tok --data $data --split tok/split.csv --quiet)
ask=("${evaluate[@]}" --test validation --n 4 --steps 2)
expect 0 "left out: HC-AD: the model does not know AD" "${ask[@]}" --cfg 1,2 --probe-kinds round-trip,real,latents,tokens --out asked --threads 2
cmp out asked/tables.txt
expect 0 "Probe round-trip" "${ask[@]}" --cfg 1,2 --readers round-trip,real,latents,tokens --out asked1 --threads 1
for file in tables.txt controllability.csv controllability.json montage.png; do [[ -s asked/$file ]]; same asked/$file asked1/$file; done
scores() { grep "^$1," asked/controllability.csv | cut -d, -f5-; }
for probe in round-trip real latents tokens; do
  grep -q "^$probe,modality,cond,1,recall,T2,4," asked/controllability.csv
  grep -q "^$probe,age,null,,mean,,8," asked/controllability.csv                # both modalities
  grep -qE "^$probe,modality,prior,,share,T1,,0\.(5,|4999999|5000000)" asked/controllability.csv
  [[ $(scores $probe,modality,cond,1) == "$(scores $probe,modality,cond,2)" ]]  # guidance has nothing to act on
  [[ $(scores $probe,age,cond,1) != "$(scores $probe,age,cond,2)" ]]
done
# A condition with a scale of its own is guided by that one, all else by --cfg's.
expect 0 "guidance 1, age=2" "${ask[@]}" --cfg 1 --cfg-of age=2 --readers latents --out own
[[ $(grep "^latents,age,cond,1," own/controllability.csv | cut -d, -f5-) == "$(scores latents,age,cond,2)" ]]
[[ $(grep "^latents,modality,cond,1," own/controllability.csv | cut -d, -f5-) == "$(scores latents,modality,cond,1)" ]]
refuse_ask() {  # TEXT options...
  local text=$1
  shift
  expect 2 "$text" "${evaluate[@]}" --out new "$@"
}
refuse_ask 'there is no contrast "HC-XX"; known: tumour' --test validation --contrasts HC-XX
refuse_ask "no contrast can be tested: sex" --test validation --contrasts sex
refuse_ask "expected 2 to 100000" --test validation --n 1
refuse_ask "--steps 0" --test validation --steps 0
refuse_ask "expected a finite scale" --test validation --cfg nan
refuse_ask 'got "planet"' --test validation --cfg-of planet=2
refuse_ask "expected a finite number" --test validation --cfg-of age=old
refuse_ask "expected a condition that can be left out" --test validation --cfg-of modality=2
refuse_ask 'no scan is in the set "test"' --contrasts age
refuse_ask "of the subjects that should be unseen trained the model" --train validation --test train --contrasts age
refuse_ask "expected at least the scans of one subject" --test validation --reader-scans 1
expect 2 "exists already" "${ask[@]}" --out asked
expect 2 "the model learnt the latents of tokenizer" "$bin/braing3n" evaluate controllability --model dit --tokenizer tok2 --data $data --split tok/split.csv --test validation --out new --quiet
# Whoever trained the tokenizer, or the encoder under it, is not unseen either.
expect 2 "of the subjects that should be unseen trained the tokenizer" "$bin/braing3n" evaluate reconstruction --model tok --data $data --split tok/split.csv --test train --baselines validation --out new --quiet
sed 's/train/other/; s/validation/train/' tok/split.csv >other.csv
expect 2 "did not train the model" "$bin/braing3n" evaluate memorisation --model dit --tokenizer tok --latents z.safetensors --data $data --split other.csv --n 2 --steps 2 --out new --quiet
cp tok/model.safetensors alone.safetensors
expect 2 "trained the tokenizer" "$bin/braing3n" evaluate reconstruction --model alone.safetensors --data $data --split tok/split.csv --test train --baselines validation --out new --quiet
# Probes that chose the guidance may not score; those of the other half of the subjects may.
expect 0 "" "${ask[@]}" --contrasts age --cfg 1 --reader-half first --out chosen
cp chosen/controllability.json kept.json
for log in chosen/controllability.json cohort/"$(sed -n 2p $data | cut -d, -f4)"; do
  expect 2 "is an input" "${ask[@]}" --contrasts age --chosen-with chosen/controllability.json --out new --json-log "$log"
done
expect 2 "is an input" "${ask[@]}" --contrasts age --chosen-with chosen/controllability.json --out chosen --force
same chosen/controllability.json kept.json
expect 2 "chose the guidance" "${ask[@]}" --contrasts age --cfg 1 --reader-half first --chosen-with chosen/controllability.json --out new
expect 0 "Probe latents" "${ask[@]}" --contrasts age --cfg 1 --reader-half second --chosen-with chosen/controllability.json --out second
# Saved probes may be fitted on subjects that trained the model, not on those that are unseen.
expect 0 "" "$bin/braing3n" encode --model tok --data $data --out features.safetensors --quiet
probe=("$bin/braing3n" probe --tasks age --folds 2 --bootstrap 0 --permutations 0 --confounds none --no-leakage-check --quiet)
awk -F, 'NR == FNR {set[$1] = $2; next} FNR == 1 || set[$2] == "train"' tok/split.csv $data >train.csv
"${probe[@]}" --features features.safetensors --labels train.csv --out probed --save fair.probe >out 2>&1 || [[ $? -eq 1 ]]  # features without labels are a complaint
"${probe[@]}" --features features.safetensors --labels $data --out probed --force --save spoilt.probe >out 2>&1 || [[ $? -eq 1 ]]
expect 0 "Probe probe" "${ask[@]}" --contrasts age --cfg 1 --readers real --probe fair.probe --out read
refuse_ask "fitted on 2 of the subjects that should be unseen" --test validation --contrasts age --probe spoilt.probe
expect 0 "" "$bin/braing3n" encode --model tok2 --data $data --out features2.safetensors --quiet
"${probe[@]}" --features features2.safetensors --labels train.csv --out probed --force --save foreign.probe >out 2>&1 || [[ $? -eq 1 ]]
refuse_ask "another contract" --test validation --contrasts age --probe foreign.probe
[[ ! -e new ]] || { echo "generation programs: a refused evaluation left a folder" >&2; exit 1; }
# Latents and labels that do not fit.
expect 2 "the model wants" "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config paper --out new --quiet
sed 's/^sub-/other-/' $data >labels.csv
expect 2 "no label belongs to a row of the latents" "$bin/braing3n" dit_train --latents z.safetensors --labels labels.csv --config dit.json --out new --quiet
head -5 $data >labels.csv
expect 2 "12 rows have no labels" "$bin/braing3n" dit_train --latents z.safetensors --labels labels.csv --config dit.json --strict --out new --quiet
head -2 $data >labels.csv
expect 2 "expected at least as many subjects as sets" "$bin/braing3n" dit_train --latents z.safetensors --labels labels.csv --config dit.json --out new --quiet
expect 2 "a batch of 99" "$bin/braing3n" dit_train --latents z.safetensors --labels $data --config dit.json --batch 99 --out new --quiet
sed 's/,F,/,X,/' $data >labels.csv
expect 2 "sex" "$bin/braing3n" dit_train --latents z.safetensors --labels labels.csv --config dit.json --out new --quiet
expect 2 'no tensor "latents"' "$bin/braing3n" dit_train --latents tok/model.safetensors --labels $data --config dit.json --out new --quiet
echo "generation programs: passed"

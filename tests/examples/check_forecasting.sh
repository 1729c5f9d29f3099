#!/usr/bin/env bash
# Forecasts of follow-ups, as a user would make them: check_forecasting.sh BIN_DIR
# study forecasting --smoke, then forecast with its models, resumed trainings, and what must be refused.
set -euo pipefail
checks="forecasting programs"
source "$(dirname "${BASH_SOURCE[0]}")/small_models.sh"

expect 0 "figures reach their target" "$bin/braing3n" study forecasting --smoke --out study --quiet --threads 2
for text in "phantom-2" "age read on years asked" "ventricles_ml" "A smoke run"; do grep -qF -- "$text" study/summary.txt; done
for text in "last value" "mean rate" "group rate" "GLM" "latent ridge" "field of rates" "bridge" "oracle" "true follow-up" "round trip" "phantom-2" "there and back"; do
  grep -qF -- "$text" study/forecasting/tables.txt
done
expect 2 "holds a study already" "$bin/braing3n" study forecasting --smoke --out study --quiet
# An evaluation keeps the tokenizer of the study; a new study would remove it.
mkdir half
cp -r study/tokenizer half/
expect 2 "run the whole study first" "$bin/braing3n" study forecasting --evaluate --out half --tokenizer half/tokenizer --quiet
expect 2 "would be made anew" "$bin/braing3n" study forecasting --smoke --out half --tokenizer half/tokenizer --quiet
python3 - <<'END'
import json
r = json.load(open("study/forecasting/forecasting.json"))
checks = r["forecasters"]["field of rates"]["checks"]
assert checks["identity"] == 0, checks
assert r["phantom_distribution"] == "phantom-2"
figures = {f["figure"]: f["value"] for f in json.load(open("study/summary.json"))["figures"]}
assert figures["consistency, identity"] == 0, figures
for name in ("ventricles_ml: relative error over the oracle's", "AD : HC growth of ventricles, over the true one", "age read on years asked, share of round trips"):
    assert figures[name] is not None, name
END

# A follow-up per horizon; at a horizon of 0 the scan itself; the same bytes from a sidecar.
scan=study/cohort/$(sed -n 2p study/cohort/volumes.csv | cut -d, -f4)
cp "$scan" scan.nii.gz
forecast=("$bin/braing3n" forecast --model study/field --tokenizer study/tokenizer --quiet --threads 2)
subject=(--in scan.nii.gz --age 70 --sex F --disease HC)
expect 0 "3 SYNTHETIC follow-ups" "${forecast[@]}" "${subject[@]}" --years 0,2,5 --out after
cp out plain_tissue
for name in 0y 2y 5y; do [[ -s after/SYNTHETIC_scan_$name.nii.gz && -s after/SYNTHETIC_scan_$name.json ]]; done
[[ -s after/montage.png && -s after/tissue.csv ]]
python3 - <<'END'
import gzip, struct
def voxels(path):
    raw = gzip.decompress(open(path, "rb").read())
    dims = struct.unpack_from("<4h", raw, 40)
    kind, slope, inter = struct.unpack_from("<h", raw, 70)[0], *struct.unpack_from("<2f", raw, 112)
    n = dims[1] * dims[2] * dims[3]
    offset = int(struct.unpack_from("<f", raw, 108)[0])
    code, size = {4: ("h", 2), 16: ("f", 4)}[kind]
    values = struct.unpack_from(f"<{n}{code}", raw, offset)
    return raw, [v * (slope or 1) + inter for v in values]
raw, scan = voxels("scan.nii.gz")
same, now = voxels("after/SYNTHETIC_scan_0y.nii.gz")
assert same[148:228].startswith(b"SYNTHETIC braing3n forecast"), same[148:228]
assert max(abs(a - b) for a, b in zip(scan, now)) <= 1e-6 * max(map(abs, scan)), "0 years is the scan"
_, later = voxels("after/SYNTHETIC_scan_5y.nii.gz")
assert max(abs(a - b) for a, b in zip(scan, later)) > 0
assert all(b == 0 for a, b in zip(scan, later) if a == 0), "background stays background"
END
expect 0 "the same bytes" "${forecast[@]}" --redo after/SYNTHETIC_scan_5y.json --out again
same after/SYNTHETIC_scan_5y.nii.gz again/SYNTHETIC_scan_5y.nii.gz
expect 0 "1 SYNTHETIC" "${forecast[@]}" "${subject[@]}" --years -2 --backwards --out before
[[ -s before/SYNTHETIC_scan_minus2y.nii.gz ]]
expect 0 "beyond that" "$bin/braing3n" forecast --model study/field --tokenizer study/tokenizer "${subject[@]}" --years 30 --out far

refuse() {  # TEXT options of forecast...
  local text=$1
  shift
  expect 2 "$text" "${forecast[@]}" --out new "$@"
  [[ ! -e new/montage.png ]]
}
refuse "going back in time must be asked for" "${subject[@]}" --years -1
refuse "expected an age at most 5 years outside" --in scan.nii.gz --age 3 --sex F --disease HC --years 1
refuse "expected one of" --in scan.nii.gz --age 70 --sex F --disease GBM --years 1
refuse "expected --model, --tokenizer, --in, --age and --years" --in scan.nii.gz --years 1
grep -qF "without intervals; --readings" plain_tissue
expect 2 "rate_field3d" "$bin/braing3n" forecast --model study/bridge --tokenizer study/tokenizer "${subject[@]}" --years 1 --out new
expect 2 "exists already" "${forecast[@]}" "${subject[@]}" --years 5 --out after
cp scan.nii.gz other.nii.gz && printf x >>other.nii.gz
refuse "expected the scan that the forecast began with" --redo after/SYNTHETIC_scan_5y.json --in other.nii.gz
refuse "cannot be given with --redo" --redo after/SYNTHETIC_scan_5y.json --years 3

# Readings with intervals, scaled on a set that is large enough; few subjects are said to be few.
evaluate=("$bin/braing3n" evaluate forecasting --model study/field --tokenizer study/tokenizer --latents study/latents.safetensors --truth study/cohort/truth.csv --quiet --threads 2)
cohort=(--data study/cohort/volumes.csv --split study/split.csv)
expect 0 "scores need 10" "${evaluate[@]}" "${cohort[@]}" --validation test --test validation --oracle-draws 20000 --out swapped
expect 0 "intervals for 90 % from" "${forecast[@]}" "${subject[@]}" --years 1,5 --readings swapped/readings.json --out read
for text in "age, years" "change of ventricles, ml" "["; do grep -qF -- "$text" out; done
[[ -s read/tissue.csv && $(wc -l <read/readings.csv) -eq 16 ]]
expect 0 "too few to scale any" "${forecast[@]}" "${subject[@]}" --years 1 --readings study/forecasting/readings.json --out few
python3 - <<'END'
import csv, json, struct
def height(path):
    return struct.unpack(">I", open(path, "rb").read(24)[20:24])[0]
rows = list(csv.DictReader(open("read/readings.csv")))
for r in rows:
    assert float(r["low"]) < float(r["value"]) < float(r["high"]), r
    if r["years"] != "0":
        assert float(r["change_low"]) < float(r["change"]) < float(r["change_high"]), r
assert height("read/montage.png") > height("before/montage.png") + 50, "the montage has the table"
saved = json.load(open("swapped/readings.json"))
assert saved["phantom_distribution"] == "phantom-2" and saved["model"] and saved["tokenizer"]
for name, change in {"weights": lambda q: q["weights"].pop(), "sd": lambda q: q["change"]["sd"].update(noise=-1)}.items():
    other = json.loads(json.dumps(saved))
    change(other["quantities"][1])
    json.dump(other, open(f"bad_{name}.json", "w"))
END
python3 - <<'END'
import gzip
raw = bytearray(gzip.open("scan.nii.gz").read())
raw[148:228] = bytes(80)
gzip.open("person.nii.gz", "wb").write(raw)
END
expect 0 "the readings were learnt on phantoms of the distribution phantom-2, this is another scan" "$bin/braing3n" forecast --model study/field --tokenizer study/tokenizer \
  --in person.nii.gz --age 70 --sex F --disease HC --years 1 --readings swapped/readings.json --out person
refuse "quantities[1].weights: expected" "${subject[@]}" --years 1 --readings bad_weights.json
refuse "quantities[1].change.sd: expected" "${subject[@]}" --years 1 --readings bad_sd.json
refuse "expected the readings of forecasts" "${subject[@]}" --years 1 --readings study/forecasting/forecasting.json
expect 2 "exists already" "${forecast[@]}" "${subject[@]}" --years 3 --readings swapped/readings.json --out read

# All scans of a table: rows that cannot be used are named and counted, the rest goes on.
sed -n 1,5p study/cohort/volumes.csv | awk -F, 'BEGIN { OFS = "," } NR == 3 { $6 = "" } NR == 4 { $6 = 4 } 1' >study/cohort/four.csv
table=("${forecast[@]}" --data study/cohort/four.csv --years 1,5)
expect 1 "2 of 4 scans failed" "${table[@]}" --readings swapped/readings.json --out many
for text in "sub-0001_ses-2_T1: " "age: expected the age at the scan, got none" "expected an age at most 5 years outside" "4 SYNTHETIC follow-ups"; do
  grep -qF -- "$text" out
done
[[ $(wc -l <many/tissue.csv) -eq 7 && $(wc -l <many/readings.csv) -eq 31 && -s many/sub-0001_ses-1_T1_montage.png ]]
expect 0 "" "${forecast[@]}" --in "$scan" --age "$(sed -n 2p study/cohort/volumes.csv | cut -d, -f6)" --sex "$(sed -n 2p study/cohort/volumes.csv | cut -d, -f7)" \
  --disease "$(sed -n 2p study/cohort/volumes.csv | cut -d, -f8)" --years 1,5 --no-pictures --out one
same many/SYNTHETIC_sub-0001_ses-1_T1_5y.nii.gz one/SYNTHETIC_sub-0001_ses-1_T1_5y.nii.gz
expect 0 "the same bytes" "${forecast[@]}" --redo many/SYNTHETIC_sub-0001_ses-1_T1_5y.json --out many_again
same many/SYNTHETIC_sub-0001_ses-1_T1_5y.nii.gz many_again/SYNTHETIC_sub-0001_ses-1_T1_5y.nii.gz
expect 2 "exists already" "${table[@]}" --out many
expect 1 "2 of 4 scans failed" "${table[@]}" --out many --force
expect 2 "excludes" "${table[@]}" --age 70 --out new
cut -d, -f1-5,7-13 study/cohort/four.csv >study/cohort/ageless.csv
expect 1 "4 of 4 scans failed" "${forecast[@]}" --data study/cohort/ageless.csv --years 1 --out ageless

# A single subject can be forecast, but not scored.
sed -n 1,3p study/cohort/volumes.csv >study/cohort/single.csv
printf 'subject_id,split\nsub-0001,test\n' >single_split.csv
expect 2 "a single one can be forecast but not scored" "${evaluate[@]}" --data study/cohort/single.csv --split single_split.csv --out single

# A training that is stopped and goes on ends with the same bytes; tables that cannot be used are refused.
train=("$bin/braing3n" forecast_train --latents study/latents.safetensors --split study/split.csv --tokenizer study/tokenizer --config small --batch 4 --validate-every 3 --quiet)
for kind in "" --bridge; do
  name=run$kind
  expect 0 "" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --out whole$name
  expect 0 "stopped after step 4" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --stop-at 4 --threads 1 --out parts$name
  expect 0 "" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --resume auto --out parts$name
  same whole$name/model.safetensors parts$name/model.safetensors
done
expect 0 "" "${train[@]}" --data study/cohort/volumes.csv --steps 6 --readout-weight 0.1 --out readout
differ wholerun/model.safetensors readout/model.safetensors
expect 2 "excludes" "${train[@]}" --data study/cohort/volumes.csv --bridge --readout-weight 0.1 --out new
expect 2 "expected readings of forecaster" "$bin/braing3n" forecast --model wholerun --tokenizer study/tokenizer --quiet "${subject[@]}" --years 1 --readings swapped/readings.json --out new
cut -d, -f1-5,7-12 study/cohort/volumes.csv >undated.csv
expect 2 "session_date, days or age" "${train[@]}" --data undated.csv --out none
sed 's/,ses-[0-9],/,ses-1,/' study/cohort/volumes.csv | awk -F, 'BEGIN { OFS = "," } NR > 1 { $13 = 0 } 1' >doubled.csv
expect 2 "one scan of a modality per visit" "${train[@]}" --data doubled.csv --out none
expect 2 "trained the model" "${evaluate[@]}" "${cohort[@]}" --train validation --test train --out seen
expect 2 "exists already" "${evaluate[@]}" "${cohort[@]}" --out study/forecasting
echo "$checks: passed"

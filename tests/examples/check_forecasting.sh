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
expect 2 "rate_field3d" "$bin/braing3n" forecast --model study/bridge --tokenizer study/tokenizer "${subject[@]}" --years 1 --out new
expect 2 "exists already" "${forecast[@]}" "${subject[@]}" --years 5 --out after
cp scan.nii.gz other.nii.gz && printf x >>other.nii.gz
refuse "expected the scan that the forecast began with" --redo after/SYNTHETIC_scan_5y.json --in other.nii.gz
refuse "cannot be given with --redo" --redo after/SYNTHETIC_scan_5y.json --years 3

# A training that is stopped and goes on ends with the same bytes; tables that cannot be used are refused.
train=("$bin/braing3n" forecast_train --latents study/latents.safetensors --split study/split.csv --tokenizer study/tokenizer --config small --batch 4 --validate-every 3 --quiet)
for kind in "" --bridge; do
  name=run$kind
  expect 0 "" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --out whole$name
  expect 0 "stopped after step 4" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --stop-at 4 --threads 1 --out parts$name
  expect 0 "" "${train[@]}" $kind --data study/cohort/volumes.csv --steps 6 --resume auto --out parts$name
  same whole$name/model.safetensors parts$name/model.safetensors
done
cut -d, -f1-5,7-12 study/cohort/volumes.csv >undated.csv
expect 2 "session_date, days or age" "${train[@]}" --data undated.csv --out none
sed 's/,ses-[0-9],/,ses-1,/' study/cohort/volumes.csv | awk -F, 'BEGIN { OFS = "," } NR > 1 { $13 = 0 } 1' >doubled.csv
expect 2 "one scan of a modality per visit" "${train[@]}" --data doubled.csv --out none
evaluate=("$bin/braing3n" evaluate forecasting --model study/field --tokenizer study/tokenizer --latents study/latents.safetensors --data study/cohort/volumes.csv --split study/split.csv --quiet)
expect 2 "trained the model" "${evaluate[@]}" --train validation --test train --out seen
expect 2 "exists already" "${evaluate[@]}" --out study/forecasting
echo "$checks: passed"

#!/usr/bin/env bash
# Whole pipelines on the host emulation of CUDA: check_gpu_pipelines.sh EMULATED_PROGRAM. quickstart and study phantom run to the end on both
# devices, and their losses are the same.
set -euo pipefail
checks="GPU pipelines"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
emulated=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

for device in cpu cuda; do
  expect 0 "unseen subjects: PSNR" "$emulated" quickstart --smoke --quiet --threads 2 --device $device --out "quickstart-$device"
  expect 0 "tables in" "$emulated" study phantom --smoke --quiet --threads 2 --device $device --out "phantom-$device"
done
python3 - <<'END'
import json, sys
def losses(path):
    return [event["loss"] for event in map(json.loads, open(path)) if event["event"] == "step"]
for study in "quickstart", "phantom":
    for model in "mae", "tokenizer", "dit":
        cpu, gpu = (losses(f"{study}-{device}/{model}/log.jsonl") for device in ("cpu", "cuda"))
        worst = max(abs(a - b) / abs(a) for a, b in zip(cpu, gpu))
        print(f"{study}, {model}: {len(gpu)} steps, losses {worst:.1e} apart")
        # The later trainings begin from models and latents of the earlier ones, whose last bits differ.
        if len(cpu) != len(gpu) or not worst < (1e-6 if model == "mae" else 1e-4):
            sys.exit(f"GPU pipelines: {study}, {model}: {cpu} and {gpu}")
END
echo "$checks: all checks passed"

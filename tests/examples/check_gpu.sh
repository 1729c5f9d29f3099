#!/usr/bin/env bash
# Commands on a GPU against the CPU, on the host emulation of CUDA: check_gpu.sh BIN_DIR EMULATED_PROGRAM
# A masked autoencoder and features with the same numbers on both, trainings that go on on the other device, and what is said when there is
# no GPU to be had.
set -euo pipefail
checks="GPU programs"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
bin=$(realpath "$1") emulated=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# near KEY A B LIMIT: numbers of that key in two logs, all numbers of two tables (-), or the voxels of two scans (+), differ by less than
# LIMIT, relative to the largest.
near() {
  python3 - "$@" <<'END'
import csv, gzip, json, struct, sys
key, *paths, limit = sys.argv[1:]
def numbers(path):
    if key == "-":
        return [float(cell) for row in list(csv.reader(open(path)))[1:] for cell in row[1:]]
    if key == "+":
        data = gzip.open(path).read()[352:]
        return struct.unpack(f"<{len(data) // 4}f", data)
    return [event[key] for event in map(json.loads, open(path)) if key in event]
a, b = map(numbers, paths)
worst = max((abs(x - y) for x, y in zip(a, b)), default=float("nan")) / max(map(abs, b), default=float("nan"))
if len(a) != len(b) or not a or not worst < float(limit):
    sys.exit(f"GPU programs: {paths[0]} and {paths[1]} differ by {worst} ({len(a)} and {len(b)} numbers)")
print(f"{paths[0]}: {len(a)} numbers, {worst:.1e} apart")
END
}

expect 0 "" "$bin/braing3n" phantom_cohort --out cohort --subjects 6 --shape 40,48,40 --quiet
cat >mae.json <<'END'
{"model": {"encoder": {"image": [20, 24, 20], "patch": [4, 8, 4], "width": 36, "depth": 1, "heads": 2, "mlp": 48},
           "decoder_width": 18, "decoder_depth": 1, "decoder_heads": 2, "decoder_mlp": 24},
 "contract": {"shape": [20, 24, 20], "spacing": [8, 8, 8], "centring": "mass"},
 "training": {"steps": 4, "batch": 2, "lr": 0.002, "validate_every": 2, "ema": {"decay": 0.9, "warmup": true}}}
END
mae=(mae_pretrain --data cohort/volumes.csv --config mae.json --threads 2 --validation 0.3)

# What there is, and what is said when there is none.
expect 0 "emulated device, for tests" "$emulated" --version
if "$bin/braing3n" --version | grep -q emulated; then echo "$checks: the program itself is emulated" >&2; exit 1; fi
if ! "$bin/braing3n" --version | grep -q CUDA; then
  expect 3 "--device cuda: this build has no CUDA" "$bin/braing3n" "${mae[@]}" --out none --device cuda
  expect 0 "device: CPU; this build has no CUDA" "$bin/braing3n" "${mae[@]}" --out none --device auto
fi
refused() { expect 3 "$2" env BRAING3N_EMULATION="$1" "$emulated" "${mae[@]}" --out refused --device cuda; }
refused devices=0 "--device cuda: cuda: expected a GPU, got none"
refused driver=0 "expected a driver for CUDA 13.0 or newer, got none"
refused driver=12040 "got one for CUDA 12.4"
refused capability=75 "expected compute capability 8.0 or newer, got 7.5"
refused memory=200000 "expected 1 MB of free memory, as planned"
refused memory=500000 "were planned for parameters and activations"
expect 0 "device: CPU; cuda: expected a GPU, got none" \
  env BRAING3N_EMULATION=devices=0 "$emulated" "${mae[@]}" --out cpu --device auto
expect 2 "takes a GPU" "$emulated" "${mae[@]}" --out refused --precision bf16

# The same training on both, and two halves on different ones.
expect 0 "best validation loss" "$emulated" "${mae[@]}" --out gpu --device cuda
grep -q "device: emulated device" out || { echo "$checks: the device is not named" >&2; exit 1; }
near loss gpu/log.jsonl cpu/log.jsonl 1e-6
for first in cpu cuda; do
  second=$([[ $first == cpu ]] && echo cuda || echo cpu)
  expect 0 "stopped after step 2 of 4" "$emulated" "${mae[@]}" --out "$first-first" --device $first --stop-at 2
  expect 0 "best validation loss" "$emulated" "${mae[@]}" --out "$first-first" --device $second --resume auto
  near loss "$first-first/log.jsonl" cpu/log.jsonl 1e-6
done
expect 0 "best validation loss" "$emulated" "${mae[@]}" --out half --device cuda --precision bf16
near loss half/log.jsonl cpu/log.jsonl 1e-2

# Features of one model on both.
encode=(encode --model cpu --data cohort/volumes.csv --threads 2)
expect 0 "(36) each" "$emulated" "${encode[@]}" --out cpu.csv
expect 0 "(36) each" "$emulated" "${encode[@]}" --out gpu.csv --device auto
near - gpu.csv cpu.csv 1e-5
# What a GPU has trained is what its file has.
expect 0 "(36) each" "$emulated" encode --model gpu --data cohort/volumes.csv --threads 2 --out trained.csv
near - trained.csv cpu.csv 1e-4

# The other models: two steps of each on both devices, from the same files.
cat >small.json <<'END'
{"model": {"encoder": {"image": [16, 24, 16], "patch": [4, 4, 4], "width": 36, "depth": 1, "heads": 2, "mlp": 48},
           "decoder_width": 18, "decoder_depth": 1, "decoder_heads": 2, "decoder_mlp": 24},
 "contract": {"shape": [16, 24, 16], "spacing": [10, 8, 10], "centring": "mass"},
 "training": {"steps": 2, "batch": 2, "lr": 0.002, "validate_every": 2}}
END
cat >tokenizer.json <<'END'
{"bottleneck": 4, "decoder": {"plan": "d1", "mid": 8, "widths": [8, 4], "groups": 4},
 "training": {"steps": 2, "batch": 2, "lr": 0.004, "validate_every": 2}}
END
cat >dit.json <<'END'
{"model": {"width": 24, "depth": 1, "heads": 2, "mlp": 32,
           "conditions": [{"name": "sex", "kind": "categorical", "values": ["F", "M"]}]},
 "training": {"steps": 2, "batch": 2, "lr": 0.002, "validate_every": 2}}
END
data=(--data cohort/volumes.csv) common=(--quiet --threads 2) split=(--validation 0.3)
scan=$(find cohort -name '*.nii.gz' | sort | head -1)
expect 0 "collapse check" "$emulated" mae_pretrain "${data[@]}" --config small.json --out small "${split[@]}" "${common[@]}"
for device in cpu cuda; do
  on=(--device $device "${common[@]}")
  expect 0 "best validation loss" "$emulated" tokenizer_train --model small "${data[@]}" --config tokenizer.json --out tok-$device "${split[@]}" "${on[@]}"
  expect 0 "latents of 6 scans" "$emulated" encode --model tok-cpu "${data[@]}" --latents latents-$device.npy --out projected-$device.csv --features projected "${on[@]}"
  [[ -s latents.safetensors ]] || expect 0 "latents of 6 scans" "$emulated" encode --model tok-cpu "${data[@]}" --latents latents.safetensors "${on[@]}"
  expect 0 "validation loss by t" "$emulated" dit_train --latents latents.safetensors "${data[@]}" --tokenizer tok-cpu --config dit.json --preview-steps 2 --preview-rows 1 --out dit-$device "${split[@]}" "${on[@]}"
  expect 0 "SSIM" "$emulated" reconstruct --model tok-cpu --in "$scan" --out back-$device.nii.gz "${on[@]}"
  expect 0 "1 SYNTHETIC volume" "$emulated" generate --model dit-cpu --tokenizer tok-cpu --condition sex=F --steps 3 --cfg 1.5 --out samples-$device "${on[@]}"
done
near loss tok-cuda/log.jsonl tok-cpu/log.jsonl 1e-6
near - projected-cuda.csv projected-cpu.csv 1e-5
near loss dit-cuda/log.jsonl dit-cpu/log.jsonl 1e-6
near + back-cuda.nii.gz back-cpu.nii.gz 1e-4
near + samples-cuda/SYNTHETIC_0000.nii.gz samples-cpu/SYNTHETIC_0000.nii.gz 1e-4
expect 2 "works in slabs on the CPU only" "$emulated" reconstruct --model tok-cpu --in "$scan" --out slabs.nii.gz --device cuda --max-memory 900 --quiet
echo "$checks: all checks passed"

#!/usr/bin/env bash
# Both trainers lose nothing when they are killed: check_resume.sh BIN_DIR [KILLS] [STEPS]
# A run of STEPS steps is compared, byte by byte, with one that is killed (-9) half way and resumed, and with one that is killed KILLS
# times at random moments, every third time while it is writing a file. Then a disk that is full while the state is saved.
set -euo pipefail
bin=$(realpath "$1")
kills=${2:-50} steps=${3:-200}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
RANDOM=${SEED:-7}
fail() { echo "resume: $*" >&2; exit 1; }

"$bin/braing3n" phantom_cohort --out cohort --subjects 6 --shape 40,48,40 --quiet >/dev/null
cat >mae.json <<END
{"model": {"encoder": {"image": [24, 32, 24], "patch": [8, 8, 8], "width": 24, "depth": 1, "heads": 2, "mlp": 48},
           "decoder_width": 24, "decoder_depth": 1, "decoder_heads": 2, "decoder_mlp": 48},
 "contract": {"shape": [24, 32, 24], "spacing": [7, 7, 7], "centring": "mass"},
 "training": {"steps": $steps, "batch": 2, "lr": 0.002, "validate_every": 10, "ema": {"decay": 0.9, "warmup": true},
              "augment": {"flip": true, "shift": 1, "intensity": 0.05}}}
END
cat >tokenizer.json <<END
{"bottleneck": 8, "decoder": {"plan": "d1", "mid": 8, "widths": [8, 4, 4], "groups": 2},
 "training": {"steps": $steps, "batch": 2, "lr": 0.004, "validate_every": 10, "ema": {"decay": 0.9, "warmup": true},
              "augment": {"flip": true, "shift": 1, "intensity": 0.05}}}
END

# command_for PROGRAM FOLDER: begins a training or goes on with it
command_for() {
  local encoder=()
  [[ $1 == mae_pretrain ]] || encoder=(--encoder mae)
  run=("$bin/braing3n" "$1" "${encoder[@]}" --data cohort/volumes.csv --out "$2" --config "${1%_*}.json" --validation 0.34 --threads 1 --quiet --resume auto)
}
train() {
  command_for "$1" "$2"
  "${run[@]}" "${@:3}"
}
step_of() { grep -c '"event":"step"' "$1/log.jsonl" 2>/dev/null || true; }
same() {
  for file in model last state; do cmp "$1/$file.safetensors" "$2/$file.safetensors" || fail "$file of $1 and $2 differ"; done
  cmp "$1/log.jsonl" "$2/log.jsonl" || fail "the logs of $1 and $2 differ"
  [[ -z $(find "$2" -name '*.part' -o -name '*.damaged') ]] || fail "something is left over in $2"
}
# killed FOLDER MODE PID: waits for the moment, then kill -9; false when the run had ended before
killed() {
  local out=$1 mode=$2 pid=$3
  case $mode in
    half) until [[ $(step_of "$out") -ge $((steps / 2)) ]]; do sleep 0.01; kill -0 "$pid" 2>/dev/null || break; done ;;
    writing) until [[ -n $(find "$out" -name '.*.part' 2>/dev/null) ]]; do kill -0 "$pid" 2>/dev/null || break; done ;;
    *) sleep "$(printf '0.%03d' $((RANDOM % (longest < 999 ? longest : 999))))" ;;
  esac
  kill -9 "$pid" 2>/dev/null || true
  local came=0
  wait "$pid" 2>/dev/null || came=$?
  [[ $came -eq 137 ]]
}

for program in mae_pretrain tokenizer_train; do
  whole=${program%_*}
  begin=$(date +%s%N)
  train $program "$whole" >/dev/null 2>err || { cat err >&2; fail "$program ended with an error"; }
  longest=$((($(date +%s%N) - begin) / 2000000))  # half a run, ms

  command_for $program half
  "${run[@]}" >/dev/null 2>&1 & killed half half $! || fail "$program ended before it was killed"
  train $program half >/dev/null 2>err || { cat err >&2; fail "$program did not resume"; }
  same "$whole" half

  done=0 rounds=0
  while [[ $done -lt $kills ]]; do
    mode=random
    [[ $((done % 3)) -ne 2 ]] || mode=writing
    command_for $program random
    "${run[@]}" >/dev/null 2>err & if killed random $mode $!; then done=$((done + 1)); else
      same "$whole" random  # it came to its end between two kills; begin anew
      rm -r random
      rounds=$((rounds + 1))
    fi
    ! grep -q "passed over\|no whole" err || { cat err >&2; fail "$program left a damaged state after kill $done"; }
  done
  train $program random >/dev/null 2>err || { cat err >&2; fail "$program did not resume after $kills kills"; }
  same "$whole" random
  echo "resume: $program: $steps steps, killed $done times ($rounds runs ended in between), equal byte by byte"

  # A full disk: the limit on the size of a file stands for it. The state of step 10 stays, the program says so and ends with 3.
  train $program full --stop-at 10 >/dev/null 2>&1
  cp full/state.safetensors kept
  blocks=$(($(stat -c %s kept) / 1024 - 4)) came=0
  (trap '' XFSZ; ulimit -f $blocks; train $program full >out 2>&1) || came=$?
  [[ $came -eq 3 ]] || { cat out >&2; fail "$program on a full disk ended with $came, expected 3"; }
  cmp kept full/state.safetensors || fail "$program lost its state to a full disk"
  train $program full >/dev/null 2>err || { cat err >&2; fail "$program did not resume after a full disk"; }
  same "$whole" full
  rm -r half random full
done
echo "resume: passed"

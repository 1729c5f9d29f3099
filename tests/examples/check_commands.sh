#!/usr/bin/env bash
# The program braing3n finds its commands, and shells complete them: check_commands.sh BIN_DIR [FIXTURES]
set -euo pipefail
checks="commands"
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
checks_dir=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
bin=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
braing3n=$bin/braing3n
fail() { echo "commands: $*" >&2; exit 1; }

expect 0 "Usage: braing3n COMMAND [OPTIONS]" "$braing3n" --help
cp out help
expect 2 "Usage: braing3n COMMAND" "$braing3n"
expect 0 "braing3n " "$braing3n" --version
cp out version
for command in quickstart inspect preprocess phantom_cohort convert mae_pretrain tokenizer_train dit_train encode reconstruct generate probe \
               forecast_train forecast evaluate "study phantom" "study tokenizer" "study forecasting"; do
  [[ $(grep -c "^  $command  " help) -eq 1 ]] || fail "the help lists '$command' not once"
  read -ra words <<<"$command"
  expect 0 "braing3n $command [OPTIONS]" "$braing3n" "${words[@]}" --help
  expect 0 "" "$braing3n" "${words[@]}" --version
  cmp -s out version || fail "'$command --version' says: $(cat out)"
  expect 2 "$command: " "$braing3n" "${words[@]}" --no-such-option
done
expect 0 "braing3n evaluate fidelity [OPTIONS]" "$braing3n" evaluate fidelity --help
expect 0 "study tokenizer" "$braing3n" study --help
expect 2 "study phantom" "$braing3n" study
expect 2 'no command "encod"; did you mean "encode"?' "$braing3n" encod --model x
expect 2 'did you mean "study phantom"?' "$braing3n" study phantm
expect 2 'did you mean "encode"?' "$braing3n" ENCODE
expect 2 'did you mean "study tokenizer"?' "$braing3n" tokenizer_study  # its name before there was one program
expect 0 "braing3n study phantom [OPTIONS]" "$braing3n" help study phantom
expect 0 "braing3n encode [OPTIONS]" "$braing3n" --help encode
expect 0 "Usage: braing3n study COMMAND" "$braing3n" help study
expect 0 "Usage: braing3n COMMAND" "$braing3n" help
expect 2 'did you mean "encode"?' "$braing3n" help encod
expect 2 'no command "--modle"' "$braing3n" --modle
expect 2 'no command ""' "$braing3n" ""
if [[ -e /dev/full ]]; then expect 3 "standard output" bash -c "'$braing3n' --help >/dev/full"; fi

# --in and --out in place of what stands alone; both work.
monai=$(realpath "${2:-$checks_dir/../fixtures}")/mae_monai
expect 0 "50 matched" "$braing3n" convert --from monai --config "$monai/config.json" --in "$monai/weights.safetensors" --out named
expect 0 "50 matched" "$braing3n" convert --from monai --config "$monai/config.json" "$monai/weights.safetensors" placed
cmp named placed
expect 2 "is required" "$braing3n" convert --from monai --config "$monai/config.json" --in "$monai/weights.safetensors"
expect 2 "is an input" "$braing3n" convert --force --from monai --config "$monai/config.json" --in named --out named
expect 0 "mae3d" "$braing3n" inspect --in named
expect 1 "nowhere" "$braing3n" inspect --in named nowhere
expect 2 "nowhere.nii" "$braing3n" preprocess --contract small --out ready --in nowhere.nii

candidates() { "$braing3n" __complete "$@" | tr '\n' ' '; }
is() { [[ $1 == "$2" ]] || fail "expected '$2', got '$1'"; }
is "$(candidates enc)" "encode "
is "$(candidates encode --mo)" "--model "
is "$(candidates encode --model x --fea)" "--features "
is "$(candidates encode --features "")" "encoder projected "
is "$(candidates encode --force --la)" "--latents "
is "$(candidates encode --quiet "")" ""
is "$(candidates encode --model "")" ""
is "$(candidates st)" "study "
is "$(candidates study "")" "forecasting phantom tokenizer "
is "$(candidates study phantom --dit-s)" "--dit-steps "
is "$(candidates evaluate f)" "fidelity forecasting "
is "$(candidates evaluate fidelity --threa)" "--threads "
is "$(candidates evaluate fidelity --token)" "--tokenizer "
# Options that were renamed: completion knows the new names, the old ones still work.
is "$(candidates tokenizer_train --mo)" "--model "
is "$(candidates tokenizer_train --enc)" ""
is "$(candidates dit_train --da)" "--data "
is "$(candidates dit_train --lab)" ""
expect 2 "none.csv: cannot open" "$braing3n" tokenizer_train --encoder nowhere --data none.csv --out new --quiet
expect 2 "none.csv: cannot open" "$braing3n" tokenizer_train --model nowhere --data none.csv --out new --quiet
expect 2 "--model is required" "$braing3n" tokenizer_train --data none.csv --out new
expect 2 "nowhere.safetensors" "$braing3n" dit_train --latents nowhere.safetensors --labels none.csv --out new --quiet
expect 2 "nowhere.safetensors" "$braing3n" dit_train --latents=nowhere.safetensors --labels=none.csv --out new --quiet
expect 2 "--data is required" "$braing3n" dit_train --latents nowhere.safetensors --out new
is "$(candidates completion "")" "bash zsh "
is "$(candidates nothing --x)" ""
is "$(candidates)" ""

# As bash does it: the words of the line and the place of the cursor.
"$braing3n" completion bash >script
bash -c 'source ./script; COMP_WORDS=("$1" enc) COMP_CWORD=1; _braing3n; echo "${COMPREPLY[@]}"
         COMP_WORDS=("$1" encode --mo) COMP_CWORD=2; _braing3n; echo "${COMPREPLY[@]}"
         COMP_WORDS=("$1" encode --device "") COMP_CWORD=3; _braing3n; echo "${COMPREPLY[@]}"' - "$braing3n" >completed
is "$(tr '\n' ' ' <completed)" "encode --model cpu cuda auto "
expect 0 "compdef _braing3n braing3n" "$braing3n" completion zsh
# As zsh does it: what it offers goes to compadd, or to _files where a file name is wanted.
if command -v zsh >/dev/null; then
  "$braing3n" completion zsh >_braing3n
  zsh -fc 'compdef() { print -r -- "compdef $*" }; compadd() { shift; print -r -- "$*" }; _files() { print files }
           source ./_braing3n
           complete() { words=("$@") CURRENT=$#; _braing3n }
           complete "$0" enc; complete "$0" encode --mo; complete "$0" encode --device ""; complete "$0" encode --model ""' "$braing3n" >completed
  is "$(tr '\n' '|' <completed)" "compdef _braing3n braing3n|encode|--model|cpu cuda auto|files|"
fi
expect 2 "completion bash|zsh" "$braing3n" completion fish
echo "commands: all as documented"

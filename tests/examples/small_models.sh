# For sourcing by the checks of generation, with BIN_DIR as their argument: a scratch folder to work in, with configs of the smallest models
# that go from scans to samples, and comparisons of files.
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
bin=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

same() { cmp "$1" "$2" || { echo "$checks: $1 and $2 differ" >&2; exit 1; }; }
differ() { [[ -s $1 && -s $2 ]] && ! cmp -s "$1" "$2" || { echo "$checks: $1 and $2 are the same, or one is missing" >&2; exit 1; }; }

cat >mae.json <<'END_JSON'
{"model": {"encoder": {"image": [40, 48, 40], "patch": [8, 8, 8], "width": 48, "depth": 1, "heads": 4, "mlp": 96},
           "decoder_width": 24, "decoder_depth": 1, "decoder_heads": 4, "decoder_mlp": 48},
 "contract": {"shape": [40, 48, 40], "spacing": [4, 4, 4], "centring": "mass"},
 "training": {"steps": 3, "batch": 2, "lr": 0.002, "validate_every": 3}}
END_JSON
cat >tokenizer.json <<'END_JSON'
{"bottleneck": 8, "decoder": {"plan": "d1", "mid": 16, "widths": [16, 8, 8], "groups": 4},
 "training": {"steps": 12, "batch": 4, "lr": 0.004, "validate_every": 12}}
END_JSON

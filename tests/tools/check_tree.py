#!/usr/bin/env python3
"""Checks of the source tree that no compiler makes. Prints every finding; exit 1 when there is one.
With --write-umbrella it writes the umbrella headers (include/braing3n/*.hpp) anew from the headers that exist.

1. Include order: a header includes its own folder and folders above it in FOLDERS, never below.
2. Third parties stay where the architecture puts them (Eigen in the bodies of linalg, xtensor at the rim, JSON in format).
3. A header needs, through everything it includes, only what its CMake target links (the table in cmake/Braing3nTargets.cmake).
4. Nothing under braing3n.hpp and cuda.cuh includes Eigen or Spectra.
5. Every quoted include exists; every header has #pragma once; the umbrella headers include every host header.
6. Nothing big, no medical images and no participant tables in the repository; no unfinished-work markers in code.
7. A header has at most 300 lines, a source of the program 100, a function 80.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
FOLDERS = ["base", "core", "backend", "linalg", "format", "ops", "autograd", "nn", "models", "objective", "sample", "optim", "volume",
           "table", "phantom", "checkpoint", "data", "probe", "eval", "report", "train", "device", "study", "interop", "easy"]
# header prefix of the third party -> places that may include it (patterns of paths)
THIRD_PARTIES = {
    "Eigen/": [r"backend/cpu/providers/eigen_product[.]hpp", r"linalg/[a-z0-9_]+_body[.]hpp", r"interop/eigen[.]hpp"],
    "Spectra/": [r"linalg/[a-z0-9_]+_body[.]hpp"],
    "unsupported/Eigen/": [],
    "xtensor/": [r"(volume|interop)/xtensor[.]hpp"],
    "xtl/": [],
    "nlohmann/": ["format/"],
    "nifti": ["volume/nifti/"],
    "zlib.h": ["format/", "volume/nifti/", "report/"],
    "oneapi/": ["backend/cpu/"],
    "dnnl": ["backend/cpu/"],
    "CLI/": [],
    "doctest/": [],
}
# target -> third-party prefixes that it gives
CPU = set()
LINALG = CPU | {"Eigen/", "Spectra/"}
IO = CPU | {"nlohmann/", "zlib.h"}
XTENSOR = IO | {"xtensor/", "xtl/"}
NIFTI = XTENSOR | {"nifti"}
TARGET_GIVES = {"core": set(), "cpu": CPU, "linalg": LINALG, "io": IO, "xtensor": XTENSOR, "nifti": NIFTI,
                "probe": XTENSOR | LINALG, "braing3n": NIFTI | LINALG, "onednn": CPU | {"oneapi/", "dnnl"}, "cuda": CPU}
# Host headers that no umbrella includes.
ON_REQUEST = re.compile(r"braing3n/(backend/cpu/providers/(onednn|eigen)|backend/cuda/|interop/|report/(config|file|manifest|volume)_report|linalg/[a-z0-9_]+_body|[a-z0-9]+[.]hpp)")
# Umbrella headers with their first lines. A header belongs to the first whose pattern its name matches. Several, because every header
# costs compile time and whoever uses a trained model needs neither training nor probes.
WRITTEN = "Written by tests/tools/check_tree.py --write-umbrella."
UMBRELLAS = [
    ("easy.hpp", r"easy/", f"// One session that reads scans and uses trained models: features, reconstructions, samples, follow-ups, probes. {WRITTEN}\n"),
    ("study.hpp", r"study/|report/panel_", f"// Studies: models measured on subjects they have not seen, options in, a result out. {WRITTEN}\n"),
    ("forecast.hpp", r"train/(bridge_|forecast|rate_)|data/forecast_|sample/(bridge|years)|objective/(bridge|rate_points)|checkpoint/saved_forecaster|models/(linear_rate|rate_field)|phantom/change_oracle|report/forecast_|eval/(forecast_|error_growth|growth_ratio|interval_scale|subject_bootstrap|band_means)",
     f"// Follow-ups: fields of rates and bridges, their training and files, forecasts of scans, what they are measured against. {WRITTEN}\n"),
    ("probe.hpp", r"probe/|table/|linalg/(ldlt|llt|symmetric)", f"// Everything about probes on tables of features. {WRITTEN}\n"),
    ("report.hpp", r"report/(?!panel_)", f"// Pictures of volumes, charts, tables and pages. {WRITTEN}\n"),
    ("generate.hpp", r"sample/|objective/|checkpoint/saved_dit|eval/(controllability|diversity|frechet|grouped_probe|memorisation)",
     f"// Flow matching, samplers and guidance, diffusion transformers in files, measures of samples. {WRITTEN}\n"),
    ("train.hpp", r"linalg/|train/|device/|data/|phantom/|optim/|checkpoint/(training_state|convert|peer_config)|eval/(downsampling|dual_ridge|patch_pca|region_regressor|tissue_volumes|token_readout|unseen_subjects)",
     f"// Cohorts, loaders, phantoms, optimisers, the trainers and what they are measured against. {WRITTEN}\n"),
    ("braing3n.hpp", r"", f"""// Tensors, models, volumes and files on the CPU: what it takes to use a model. {WRITTEN}
// On request: training (train.hpp), generation (generate.hpp), follow-ups (forecast.hpp), probes (probe.hpp), pictures and pages
// (report.hpp), studies (study.hpp), a session over trained models (easy.hpp), the Eigen and oneDNN providers, interop/, and the
// CUDA side (cuda.cuh).
"""),
]
MAX_BYTES = 4 * 1024 * 1024
FORBIDDEN_NAMES = re.compile(r"([.](nii|nii[.]gz|mgz|mgh|dcm|mha|mhd|nrrd|pt|pth|ckpt|onnx|whl|zip|tar|gz|7z)|(^|/)participants[^/]*[.](tsv|csv)|(^|/)phenotypic[^/]*)$",
                             re.IGNORECASE)
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "HA" + "CK", "X" * 3]) + r")\b")
CODE = {".hpp", ".cuh", ".cpp", ".cu", ".cmake", ".py", ".sh", ".txt", ".md"}

findings = []


def found(path, line, text):
    findings.append(f"{path.relative_to(ROOT) if path.is_absolute() else path}:{line}: {text}")


def check_header(path):
    relative = path.relative_to(INCLUDE / "braing3n")
    folder = relative.parts[0] if len(relative.parts) > 1 else None
    if folder is not None and folder not in FOLDERS:
        found(path, 1, f"folder {folder}/ is not in the list of folders")
        return
    text = path.read_text()
    if "#pragma once" not in text:
        found(path, 1, "no #pragma once")
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        bracket, target = match.groups()
        if bracket == '"':
            if not (INCLUDE / target).is_file():
                found(path, number, f"include of {target}, which does not exist (includes are written from include/)")
            parts = target.split("/")
            if folder is not None and len(parts) > 2 and parts[1] in FOLDERS and FOLDERS.index(parts[1]) > FOLDERS.index(folder):
                found(path, number, f"{folder}/ may not include {parts[1]}/, which comes after it")
            if folder is not None and len(parts) == 2:
                found(path, number, f"includes the umbrella header {target}")
        if folder is not None:
            for prefix, places in THIRD_PARTIES.items():
                if target.startswith(prefix) and not any(re.match(place, str(relative)) for place in places):
                    found(path, number, f"{target} may be included in {', '.join(places) or 'no header'} only")


def own_includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def third_parties_of(name, seen):
    """Third-party prefixes that the header `name` needs, itself and through our own headers."""
    if name in seen:
        return set()
    seen.add(name)
    needs = set()
    for target in own_includes(INCLUDE / name):
        if (INCLUDE / target).is_file():
            needs |= third_parties_of(target, seen)
        else:
            needs |= {prefix for prefix in THIRD_PARTIES if target.startswith(prefix)}
    return needs


def check_owners():
    table = re.search(r"set\(header_owners\n(.*?)\)\n", (ROOT / "cmake" / "Braing3nTargets.cmake").read_text(), re.DOTALL).group(1)
    rules = [(line.split()[0], line.split()[1]) for line in re.findall(r'"([^"]+)"', table)]
    for path in sorted(INCLUDE.rglob("*.hpp")):
        name = str(path.relative_to(INCLUDE))
        owner = next(owner for owner, pattern in rules if re.search(pattern, name))
        extra = third_parties_of(name, set()) - TARGET_GIVES[owner]
        if extra:
            found(path, 1, f"belongs to braing3n::{owner}, which does not give {', '.join(sorted(extra))}")


def check_without_eigen():
    for name in ("braing3n/braing3n.hpp", "braing3n/cuda.cuh"):
        extra = third_parties_of(name, set()) & {"Eigen/", "unsupported/Eigen/", "Spectra/"}
        if extra:
            found(INCLUDE / name, 1, f"includes {', '.join(sorted(extra))}, which costs every program the time to compile it")


def members_of_umbrellas():
    """Names of headers by umbrella, in the order of the folders."""
    members = {umbrella: [] for umbrella, _, _ in UMBRELLAS}
    for folder in FOLDERS:
        for path in sorted((INCLUDE / "braing3n" / folder).rglob("*.hpp")):
            name = str(path.relative_to(INCLUDE))
            if not ON_REQUEST.match(name):
                inside = name.removeprefix("braing3n/")
                members[next(umbrella for umbrella, pattern, _ in UMBRELLAS if re.match(pattern, inside))].append(name)
    return members


def check_umbrellas():
    for umbrella, names in members_of_umbrellas().items():
        path = INCLUDE / "braing3n" / umbrella
        listed = re.findall(r'#\s*include "(braing3n/[^"]+)"', path.read_text()) if path.is_file() else []
        for name in sorted(set(names) ^ set(listed)):
            found(path, 1, f"does not include {name}" if name in names else f"includes {name}, which belongs elsewhere")


def write_umbrellas():
    members = members_of_umbrellas()
    for umbrella, _, head in UMBRELLAS:
        lines = [head + "#pragma once", ""]
        for folder in FOLDERS:
            names = [name for name in members[umbrella] if name.startswith(f"braing3n/{folder}/")]
            needs_nifti = {name: "nifti" in third_parties_of(name, set()) for name in names}
            lines += [f'#include "{name}"' for name in names if not needs_nifti[name]]
            nifti = [f'#include "{name}"' for name in names if needs_nifti[name]]
            if nifti:
                lines += ["#if __has_include(<nifti/nifti2_io.h>) || __has_include(<nifti2_io.h>)", *nifti, "#endif"]
        (INCLUDE / "braing3n" / umbrella).write_text("\n".join(lines) + "\n")


def tracked_files():
    try:
        out = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        print("check_tree: no git here: the list of files is not checked")
        return []
    return [ROOT / name for name in out.split("\0") if name]


def check_files():
    for path in tracked_files():
        if not path.is_file():
            continue
        name = str(path.relative_to(ROOT))
        if path.stat().st_size > MAX_BYTES:
            found(path, 1, f"{path.stat().st_size} bytes; the repository takes at most {MAX_BYTES}")
        if FORBIDDEN_NAMES.search(name):
            found(path, 1, "images, archives, weights and participant tables do not belong into the repository")
        if path.suffix in CODE and path.name != Path(__file__).name:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if UNFINISHED.search(line):
                    found(path, number, "unfinished work: " + line.strip())


# Headers, sources of the program and functions that do two things. A parser that follows its format's table may be longer.
MAX_HEADER, MAX_COMMAND, MAX_FUNCTION = 300, 100, 80
LONG_FUNCTIONS = {"include/braing3n/volume/nifti/header.hpp"}
# How clang-format leaves the first line of a body: anything with parameters that is no statement, type or namespace.
NO_FUNCTION = re.compile(r"\s*(namespace|struct|class|enum|union|if|for|while|switch|else|do|try|catch|extern|return|#|//)\b|\s*[#/]")


def check_lengths():
    for folder, most in ((INCLUDE, MAX_HEADER), (ROOT / "examples" / "braing3n", MAX_COMMAND), (ROOT / "examples" / "support", MAX_HEADER)):
        for path in sorted(p for p in folder.rglob("*") if p.suffix in CODE and not (most == MAX_COMMAND and p.suffix != ".cpp")):
            lines = path.read_text(errors="replace").splitlines()
            if len(lines) > most:
                found(path, most + 1, f"{len(lines)} lines, expected at most {most}")
            if str(path.relative_to(ROOT)) in LONG_FUNCTIONS:
                continue
            for at, line in enumerate(lines):
                if not line.endswith("{") or NO_FUNCTION.match(line) or "(" not in line and ")" not in line:
                    continue
                indent = line[:len(line) - len(line.lstrip())]
                end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith(indent + "}")), at)
                if len(indent) <= 4 and end - at + 1 > MAX_FUNCTION:
                    found(path, at + 1, f"a function of {end - at + 1} lines, expected at most {MAX_FUNCTION}")


if sys.argv[1:] == ["--write-umbrella"]:
    write_umbrellas()
for header in sorted([*INCLUDE.rglob("*.hpp"), *INCLUDE.rglob("*.cuh")]):
    check_header(header)
check_owners()
check_without_eigen()
check_umbrellas()
check_files()
check_lengths()
for line in findings:
    print(line)
print(f"check_tree: {len(findings)} findings")
sys.exit(1 if findings else 0)

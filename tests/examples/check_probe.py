#!/usr/bin/env python3
"""Runs probe as a user would: check_probe.py BIN_DIR. Formats, folds, saved probes, leaks, threads and every kind of bad input.

Needs the standard library alone. Prints the first thing that is not as it should be, and ends with 1.
"""
import csv
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

probe = [os.path.join(os.path.realpath(sys.argv[1]), "braing3n"), "probe"]
verbose = "-v" in sys.argv
scratch = tempfile.TemporaryDirectory()
os.chdir(scratch.name)
QUICK = ["--bootstrap", "50", "--permutations", "19"]


def fail(text):
    sys.exit(f"check_probe: {text}")


def run(code, texts, *arguments):
    """The exit code and parts of what is printed."""
    command = [*probe, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    shown = done.stdout + done.stderr
    if verbose:
        print("$ braing3n " + " ".join(command[1:]) + "\n" + "\n".join("    " + line for line in done.stderr.splitlines()[:6]) + f"\n    exit {done.returncode}\n")
    for text in [texts] if isinstance(texts, str) else texts:
        if text not in shown:
            fail(f"'{' '.join(command)}' ended with {done.returncode}, expected {code} and '{text}':\n{shown}")
    if done.returncode != code:
        fail(f"'{' '.join(command)}' ended with {done.returncode}, expected {code}:\n{shown}")
    return shown


def panel(folder):
    with open(f"{folder}/panel.json") as f:
        return json.load(f)


def task(folder, name, features=None):
    found = [t for t in panel(folder)["tasks"] if t["name"] == name and (features is None or t["features"] == features)]
    if len(found) != 1:
        fail(f"{folder}/panel.json has {len(found)} tasks {name}")
    return found[0]


def rows_of(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def write_table(path, header, rows):
    write(path, ",".join(header) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def npy_bytes(rows):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"".join(struct.pack(f"<{len(r)}f", *r) for r in rows)


def write_bytes(path, data):
    with open(path, "wb") as f:
        f.write(data)


def write_safetensors(path, rows, metadata):
    data = b"".join(struct.pack(f"<{len(r)}f", *r) for r in rows)
    header = json.dumps({"__metadata__": metadata, "features": {"dtype": "F32", "shape": [len(rows), len(rows[0])], "data_offsets": [0, len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    write_bytes(path, struct.pack("<Q", len(header)) + header + data)


# 160 scans of 80 people; feature 0 knows the sex, features 1 and 2 the age, two sites that know nothing.
rng = random.Random(1)
single = lambda v: struct.unpack("<f", struct.pack("<f", v))[0]
ids = [f"v{i:03d}" for i in range(160)]
labels, features = [], []
for i in range(160):
    person = i // 2
    if i % 2 == 0:
        sex, age, site = rng.choice("FM"), rng.uniform(20, 80), rng.choice(["A", "B"])
    row = [rng.gauss(0, 1) for _ in range(12)]
    row[0] += 3 if sex == "M" else -3
    row[1] += age / 10
    row[2] -= age / 20
    features.append([single(v) for v in row])
    labels.append([ids[i], f"p{person:02d}", sex, f"{age + i % 2:.2f}", site])
HEADER = ["volume_id", "subject_id", "sex", "age", "site"]
NAMES = [f"f{j}" for j in range(12)]
with_ids = lambda rows: [[ids[i], *map(repr, row)] for i, row in enumerate(rows)]
write_table("labels.csv", HEADER, labels)
write_table("features.csv", ["volume_id", *NAMES], with_ids(features))

# --- What a run leaves behind.
run(0, ["sex", "age"], "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex,age", "--out", "csv", *QUICK)
for name in ("panel.csv", "panel.json", "predictions.csv", "report.html"):
    if not os.path.getsize(f"csv/{name}"):
        fail(f"csv/{name} is empty")
sex, age = task("csv", "sex"), task("csv", "age")
if not (sex["auc"]["mean"] > 0.97 and len(sex["auc"]["folds"]) == 5 and sex["auc"]["interval"][0] <= sex["auc"]["mean"] <= sex["auc"]["interval"][1] and sex["converged"]):
    fail(f"sex: {sex}")
if not (age["r2"]["mean"] > 0.7 and age["n"] == 160 and age["subjects"] == 80 and age["p_value"] <= 0.05):
    fail(f"age: {age}")
if panel("csv")["leaks"] or any(c["suspicious"] for t in (sex, age) for c in t["confounds"]):
    fail("clean data raises an alarm")
if not task("csv", "site")["confound"]:
    fail("the site is not probed as a confound")
predictions = rows_of("csv/predictions.csv")
if len([r for r in predictions if r["task"] == "sex"]) != 160:
    fail("predictions.csv does not hold every scan")
fold_of = {}
for r in predictions:
    if fold_of.setdefault((r["task"], r["subject"]), r["fold"]) != r["fold"]:
        fail(f"{r['subject']} is in two folds of {r['task']}")
with open("csv/report.html") as f:
    html = f.read()
if re.search(r"<script|https?://|src=", html) or "Research use only" not in html:
    fail("report.html is not self-contained")
run(2, "exists already", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "csv", *QUICK)

# --- Other formats hold the same numbers, so the results are the same bytes. npy and npz without identifiers pair in order when asked.
ORDER = ["--pair-by-order"]
write_bytes("features.npy", npy_bytes(features))
with zipfile.ZipFile("features.npz", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("features.npy", npy_bytes(features))
run(2, ["no identifiers", "--pair-by-order"], "--features", "features.npy", "--labels", "labels.csv", "--tasks", "sex", "--out", "no")
write_safetensors("bare.safetensors", features, {})
run(2, ["no identifiers", "--pair-by-order"], "--features", "bare.safetensors", "--labels", "labels.csv", "--tasks", "sex", "--out", "no")
write_safetensors("features.safetensors", features, {"volume_ids": json.dumps(ids)})
shuffled = list(range(160))
rng.shuffle(shuffled)
write_safetensors("mixed.safetensors", [features[i] for i in shuffled], {"volume_ids": json.dumps([ids[i] for i in shuffled])})
def without_names(folder):
    text = json.dumps(panel(folder)["tasks"])
    return re.sub(r'"features": "[a-z]+"', "", text)
for name in ("features.npy", "features.npz", "features.safetensors", "mixed.safetensors"):
    run(0, "sex", "--features", name, "--labels", "labels.csv", "--tasks", "sex,age", "--out", "of_" + name, *QUICK, *(ORDER if name.endswith(("npy", "npz")) else []))
    if without_names("of_" + name) != without_names("csv"):
        fail(f"{name} gives other results than the CSV")

# One CSV with everything.
write_table("everything.csv", HEADER + NAMES, [l + list(map(repr, f)) for l, f in zip(labels, features)])
run(0, "12 columns are taken as features", "--features", "everything.csv", "--tasks", "sex,age", "--out", "of_everything", *QUICK)
if without_names("of_everything") != without_names("csv"):
    fail("one CSV with features and labels gives other results than two")

# Arrays of names beside the features of an .npz, texts of 4 or 1 bytes per character, in another order.
def text_npy(texts, kind):
    width = max(map(len, texts))
    header = f"{{'descr': '{'<U' if kind == 'U' else '|S'}{width}', 'fortran_order': False, 'shape': ({len(texts)},), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    code = (lambda t: t.ljust(width, "\0").encode("utf-32-le")) if kind == "U" else (lambda t: t.encode().ljust(width, b"\0"))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"".join(map(code, texts))
for kind in "US":
    with zipfile.ZipFile(f"named{kind}.npz", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("features.npy", npy_bytes([features[i] for i in shuffled]))
        z.writestr("ids.npy", text_npy([ids[i] for i in shuffled], kind))
    run(0, "sex", "--features", f"named{kind}.npz", "--labels", "labels.csv", "--tasks", "sex,age", "--out", f"of_named{kind}", *QUICK)
    if re.sub(r'"features": "[a-zA-Z]+"', "", json.dumps(panel(f"of_named{kind}")["tasks"])) != without_names("csv"):
        fail(f"names of kind {kind} in an .npz pair other rows")
object_array = "{'descr': '|O', 'fortran_order': False, 'shape': (160,), }".ljust(117) + "\n"
with zipfile.ZipFile("objects.npz", "w") as z:
    z.writestr("features.npy", npy_bytes(features))
    z.writestr("ids.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + object_array.encode() + b"pickle")
run(2, ['array "ids" should name the rows', "dtype=str"], "--features", "objects.npz", "--labels", "labels.csv", "--tasks", "sex", "--out", "no")

# Identifier columns of other names, in every table its own; a target, a counter and a date among the features; files side by side.
mixed_labels = [labels[i] for i in shuffled]
write_table("clinic.csv", ["SUB_ID", "Person", *HEADER[2:]], mixed_labels)
write_table("fs.csv", ["lh.aparc.thickness", *NAMES[:5], "Age", "scan_date", "eTIV"], [[ids[i], *map(repr, f[:5]), labels[i][3], "2020-05-12", i] for i, f in enumerate(features)])
write_table("fs2.csv", ["", *NAMES[5:], "eTIV"], [[ids[i], *map(repr, features[i][5:]), i] for i in shuffled])
run(0, ['"Age" (a label)', '"scan_date" (it describes', "13 columns are taken as features"], "--features", "fs.csv+fs2.csv", "--labels", "clinic.csv", "--tasks", "sex,age",
    "--out", "fs", "--save", "fs.safetensors", *QUICK)
if not (task("fs", "sex")["auc"]["mean"] > 0.97 and 0.6 < task("fs", "age")["r2"]["mean"] < 0.999):
    fail("files side by side, paired by identifiers of other names")
run(0, "160 rows", "--apply", "fs.safetensors", "--features", "fs.csv+fs2.csv", "--labels", "clinic.csv", "--out", "fs_applied.csv")
if sum(r["sex"] == l[2] for r, l in zip(rows_of("fs_applied.csv"), labels)) < 150:
    fail("a probe of files side by side does not apply to them")
run(0, "sex", "--features", "fs.csv", "--labels", "clinic.csv", "--id-column", "lh.aparc.thickness=SUB_ID", "--tasks", "sex", "--out", "pair_of_columns", *QUICK)
run(2, 'no column "SUB_ID"', "--features", "fs.csv", "--labels", "clinic.csv", "--id-column", "SUB_ID", "--tasks", "sex", "--out", "no")
run(2, ["without prefix", "--pair-by-order"], "--features", "fs.csv", "--labels", "prefixed.csv", "--tasks", "sex", "--out", "no") if not write_table(
    "prefixed.csv", HEADER, [["sub-" + r[0], *r[1:]] for r in labels]) else None

# Differences of ones around 1e8 are read, and by a saved probe too.
write_table("far.csv", ["volume_id", *NAMES], [[ids[i], *(f"{1e8 + v:.4f}" for v in row)] for i, row in enumerate(features)])
run(0, "sex", "--features", "far.csv", "--labels", "labels.csv", "--tasks", "sex,age", "--out", "far", "--save", "far.safetensors", *QUICK)
if not (task("far", "sex")["auc"]["mean"] > 0.97 and task("far", "age")["r2"]["mean"] > 0.7):
    fail("features of large offset lose their differences")
write_table("far_few.csv", ["volume_id", *NAMES], [[ids[i], *(f"{1e8 + v:.4f}" for v in features[i])] for i in range(40)])
for name, count in (("far.csv", 160), ("far_few.csv", 40)):
    run(0, f"{count} rows", "--apply", "far.safetensors", "--features", name, "--out", "of_" + name)
for a, b in zip(rows_of("of_far.csv"), rows_of("of_far_few.csv")):
    if a["sex"] != b["sex"] or abs(float(a["age"]) - float(b["age"])) > 1e-3:
        fail(f"what a probe says of {a['id']} depends on the other rows: {a} {b}")

# --- Threads.
for threads in (1, 2, 3):
    run(0, "", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex,age,site", "--out", f"t{threads}", "--threads", threads, *QUICK)
    for name in ("panel.json", "predictions.csv", "panel.csv", "report.html"):
        if open(f"t1/{name}", "rb").read() != open(f"t{threads}/{name}", "rb").read():
            fail(f"{name} depends on the number of threads")

# --- Several feature files are compared on the same folds and rows.
write_table("noise.csv", ["volume_id", "n0", "n1"], [[i, rng.gauss(0, 1), rng.gauss(0, 1)] for i in ids])
run(0, ["features", "noise"], "--features", "features.csv", "noise.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "two", *QUICK)
if not task("two", "sex", "features")["auc"]["mean"] > 0.97 > 0.7 > task("two", "sex", "noise")["auc"]["mean"]:
    fail("the comparison of two feature files")
of = lambda name: [(r["id"], r["fold"]) for r in rows_of("two/predictions.csv") if r["features"] == name]
if of("features") != of("noise"):
    fail("two feature files were not compared on identical folds")

# --- Folds go out and come back; with a salt nobody can read the identifiers.
base = ["--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex,age", *QUICK]
run(0, "", *base, "--out", "exporting", "--export-folds", "folds.csv", "--salt", "pepper", "--seed", "7")
if "v000" in open("folds.csv").read() or len(rows_of("folds.csv")) != 160:
    fail("folds.csv shows identifiers, or not all rows")
run(0, "", *base, "--out", "importing", "--import-folds", "folds.csv", "--salt", "pepper")
if open("exporting/predictions.csv").read() != open("importing/predictions.csv").read():
    fail("imported folds give other predictions")
run(2, "another salt", *base, "--out", "no", "--import-folds", "folds.csv", "--salt", "sugar")
run(2, "another salt", *base, "--out", "no", "--import-folds", "folds.csv")
run(0, "", *base, "--out", "legacy", "--legacy-folds", "--seed", "7")
fold = lambda folder: [r["fold"] for r in rows_of(folder + "/predictions.csv") if r["task"] == "sex"]
if fold("legacy") == fold("exporting"):
    fail("--legacy-folds changes nothing")
run(0, "", *base, "--out", "options", "--select", "--balanced", "--group-folds", "--no-leakage-check", "--confounds", "none")
run(0, "", *base, "--out", "raw", "--no-standardize", "--C", "0.1", "--alpha", "10", "--folds", "3")

# --- Saved probes.
write_safetensors("site1.safetensors", features, {"volume_ids": json.dumps(ids), "braing3n.contract": '{"encoder": "a"}'})
write_safetensors("site2.safetensors", features, {"volume_ids": json.dumps(ids), "braing3n.contract": '{"encoder": "b"}'})
write_safetensors("narrow.safetensors", [r[:5] for r in features], {"volume_ids": json.dumps(ids), "braing3n.contract": '{"encoder": "a"}'})
run(0, "", "--features", "site1.safetensors", "--labels", "labels.csv", "--tasks", "sex,age", "--out", "saving", "--save", "p.safetensors", *QUICK)
run(0, "160 rows", "--apply", "p.safetensors", "--features", "site1.safetensors", "--labels", "labels.csv", "--out", "applied.csv")
applied = rows_of("applied.csv")
if sum(r["sex"] == l[2] for r, l in zip(applied, labels)) < 150:
    fail("the applied probe does not know the sex")
truth = [float(l[3]) for l in labels]
slope = lambda column: sum((t - sum(truth) / 160) * float(r[column]) for r, t in zip(applied, truth))
if not abs(float(applied[3]["age:gap"]) - (float(applied[3]["age"]) - truth[3])) < 1e-9:
    fail("age:gap is not prediction - truth")
if not abs(slope("age:gap_corrected")) < 0.3 * abs(slope("age:gap")):
    fail("the corrected gap still goes with age")
if {r["age:range"] for r in applied} != {"inside"} or {r["sex:range"] for r in applied} != {"inside"}:
    fail("rows of the fit are outside of its range")
wild = [list(row) for row in features]
wild[7][4] = 1e4
write_safetensors("wild.safetensors", wild, {"volume_ids": json.dumps(ids), "braing3n.contract": '{"encoder": "a"}'})
run(0, "1 of 160 rows are far outside", "--apply", "p.safetensors", "--features", "wild.safetensors", "--out", "wild.csv")
if [r["sex:range"] for r in rows_of("wild.csv")].index("features") != 7:
    fail("the row that is outside is not marked")
# A CSV with more columns, in another order, serves as well; one that lacks a column does not.
run(0, "12 columns are taken as features", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "named", "--save", "named.safetensors", *QUICK)
order = [f"f{j}" for j in (3, 1, 0, 2, *range(4, 12))]
write_table("reordered.csv", ["mmse", "volume_id", *order], [[29, ids[i], *(repr(row[int(n[1:])]) for n in order)] for i, row in enumerate(features)])
for name in ("features.csv", "reordered.csv"):
    run(0, "160 rows", "--apply", "named.safetensors", "--features", name, "--out", "of_" + name)
if open("of_features.csv").read() != open("of_reordered.csv").read():
    fail("the order of the columns changes what a saved probe says")
write_table("lacking.csv", ["volume_id", *NAMES[:-1]], [row[:-1] for row in with_ids(features)])
run(2, 'there is no feature "f11"', "--apply", "named.safetensors", "--features", "lacking.csv", "--out", "no.csv")
run(2, "another contract", "--apply", "p.safetensors", "--features", "site2.safetensors", "--out", "no.csv")
run(2, "the probe reads 12 features, the table has 5", "--apply", "p.safetensors", "--features", "narrow.safetensors", "--out", "no.csv")
run(2, "not a saved probe", "--apply", "site1.safetensors", "--features", "site1.safetensors", "--out", "no.csv")
broken = bytearray(open("p.safetensors", "rb").read())
broken[-3] ^= 1
write_bytes("broken.safetensors", bytes(broken))
run(2, "checksum", "--apply", "broken.safetensors", "--features", "site1.safetensors", "--out", "no.csv")
if os.path.exists("no.csv"):
    fail("a refused probe wrote something")

# --- Planted faults in the data are found.
def probe_labels(name, rows, header=HEADER, code=1, texts="", extra=(), with_features="features.csv"):
    write_table(name, header, rows)
    return run(code, texts, "--features", with_features, "--labels", name, "--tasks", "sex", "--out", name + ".out", *QUICK, *extra)
conflict = [list(r) for r in labels]
conflict[6][2] = "F" if conflict[7][2] == "M" else "M"
probe_labels("conflict.csv", conflict, code=0, texts='label_conflict: subject "p03" has more than one value of sex')
copied = [list(r) for r in features]
copied[100] = copied[4]
write_table("copied.csv", ["volume_id", *NAMES], with_ids(copied))
run(1, '"v004" and "v100", of different people, have the same features, bit for bit', "--features", "copied.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "copied", *QUICK)
near = [list(r) for r in features]
other = next(i for i in range(50, 160) if labels[i][4] != labels[4][4])
near[other] = [v + 0.001 for v in near[4]]
write_table("near.csv", ["volume_id", *NAMES], with_ids(near))
run(1, f'near_duplicate: "v004" and "{ids[other]}"', "--features", "near.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "near", *QUICK)
hashed = [r + [f"h{i}"] for i, r in enumerate(labels)]
hashed[9][5] = hashed[90][5]
probe_labels("hashed.csv", hashed, HEADER + ["hash"], texts='"v009" and "v090", of different people, have the same content hash')
shifted = [[v + (5 if j == 9 and labels[i][4] == "A" else 0) for j, v in enumerate(r)] for i, r in enumerate(features)]
write_table("shifted.csv", ["volume_id", *NAMES], with_ids(shifted))
confounded = [r + ["sick" if (r[4] == "A") == (rng.random() < 0.95) else "well"] for r in labels]
write_table("confounded.csv", HEADER + ["disease"], confounded)
run(0, "", "--features", "shifted.csv", "--labels", "confounded.csv", "--tasks", "disease,sex", "--out", "confounded", *QUICK)
if [c["suspicious"] for c in task("confounded", "disease")["confounds"]] != [True] or [c["suspicious"] for c in task("confounded", "sex")["confounds"]] != [False]:
    fail("the planted site confound")
split = rows_of("folds.csv")
split[3]["fold:sex"] = str((int(split[2]["fold:sex"]) + 1) % 5)
write_table("split.csv", list(split[0]), [r.values() for r in split])
run(1, "one subject into two folds", *base, "--out", "split", "--import-folds", "split.csv", "--salt", "pepper")

# --- Bad input: a clear sentence; other tasks go on (exit code 1); 2 when nothing could start.
extra = [r + [7, "x", "only", i % 3 if i > 1 else "", "A" if i >= 2 else "B"] for i, r in enumerate(labels)]
write_table("extra.csv", HEADER + ["constant", "text", "one", "gappy", "rare"], extra)
shown = run(1, ["constant=reg: all 160 rows have the value 7: a constant target cannot be predicted",
                'one: all 160 rows have the value "only": there is nothing to tell apart',
                "sex=reg: line 2: column \"sex\": expected a number, got",
                'rare: class "B" has all its 2 rows in fold',
                'no column "sexx"; did you mean "sex"?',
                'sex:F|X: no row has the value "X"',
                "sex@site=Z: no row meets the conditions"],
            "--features", "features.csv", "--labels", "extra.csv", "--tasks", "sex,constant=reg,one,sex=reg,rare,sexx,sex:F|X,sex@site=Z,gappy=class", "--out", "bad", *QUICK)
if task("bad", "sex").get("error") or task("bad", "gappy=class").get("error") or task("bad", "gappy=class")["n"] != 158:
    fail("a bad task stopped a good one")
run(2, "160 rows of features without identifiers, but 159 rows of labels", "--features", "features.npy", "--labels", "short.csv", "--tasks", "sex", "--out", "no", *ORDER) if not write_table("short.csv", HEADER, labels[:-1]) else None
run(1, 'features.csv: 1 row has no labels: "v159"', "--features", "features.csv", "--labels", "short.csv", "--tasks", "sex", "--out", "short", *QUICK)
write_table("part.csv", ["volume_id", *NAMES], with_ids(features)[:150])
run(1, '10 rows of labels have no features: "v150", "v151", "v152", ...', "--features", "part.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "part", *QUICK)
write_table("twice.csv", ["volume_id", *NAMES], with_ids(features) + with_ids(features)[:1])
run(2, 'the identifier "v000" appears twice', "--features", "twice.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "no")
write_table("relabelled.csv", HEADER, labels + [labels[5][:2] + ["F" if labels[5][2] == "M" else "M"] + labels[5][3:]])
run(1, '"v005" (lines 7 and 162, which differ: left out)', "--features", "features.csv", "--labels", "relabelled.csv", "--tasks", "sex", "--out", "relabelled", *QUICK)
write_table("strangers.csv", ["volume_id", *NAMES], [["w" + r[0][1:], *r[1:]] for r in with_ids(features)])
run(2, "no column of labels.csv holds the identifiers of the features", "--features", "strangers.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "no")
holes = with_ids(features)
holes[7][3] = "nan"
write_table("holes.csv", ["volume_id", *NAMES], holes)
run(1, 'v007 (column "f2" is nan)', "--features", "holes.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "holes", *QUICK)
if task("holes", "sex")["n"] != 159:
    fail("the row with a hole was not left out")
infinite = [list(r) for r in features]
infinite[11][4] = float("inf")
write_bytes("infinite.npy", npy_bytes(infinite))
run(1, "(column 4 is inf)", "--features", "infinite.npy", "--labels", "labels.csv", "--tasks", "sex", "--out", "infinite", *QUICK, *ORDER)
write_bytes("hollow.npy", npy_bytes([[float("nan")] * 3] * 160))
run(2, "no row is left", "--features", "hollow.npy", "--labels", "labels.csv", "--tasks", "sex", "--out", "no", *ORDER)
age = HEADER.index("age")
for cell, text in [("89+", 'line 6: column "age": expected a number, got "89+"'), (-999, 'line 6: column "age": got -999'), ("034Y", "write 34"), (140, "from 0 to 130, got 140")]:
    odd = [list(r) for r in labels]
    odd[4][age] = cell
    write_table("odd.csv", HEADER, odd)
    run(2, text, "--features", "features.csv", "--labels", "odd.csv", "--tasks", "age", "--out", "no")
    run(0, "age", "--features", "features.csv", "--labels", "odd.csv", "--tasks", "age", "--missing", f"age={cell}", "--out", "stated", "--force", *QUICK)
    if task("stated", "age")["n"] != 159:
        fail(f"an age of {cell}, stated as missing, was not left out")
write_bytes("latin.csv", open("labels.csv", "rb").read().replace(b"v003", b"v\xfc03"))
run(2, "looks like Windows-1252", "--features", "features.csv", "--labels", "latin.csv", "--tasks", "sex", "--out", "no")
few = [[r[0], f"p{i % 3}", *r[2:]] for i, r in enumerate(labels)]
write_table("few.csv", HEADER, few)
run(2, "3 subjects cannot fill 5 folds", "--features", "features.csv", "--labels", "few.csv", "--tasks", "sex", "--out", "few", *QUICK)
sparse = [r + ["yes" if i < 8 else "no"] for i, r in enumerate(labels)]  # four people for five folds
write_table("sparse.csv", HEADER + ["rare"], sparse)
run(0, "", "--features", "features.csv", "--labels", "sparse.csv", "--tasks", "rare", "--out", "sparse", *QUICK)
if "is missing from fold" not in open("sparse/report.html").read():
    fail("a class that is missing from a fold is not mentioned")
wide = [[rng.gauss(0, 1) + (labels[i][2] == "M") for _ in range(400)] for i in range(160)]
write_bytes("wide.npy", npy_bytes(wide))
run(0, "sex", "--features", "wide.npy", "--labels", "labels.csv", "--tasks", "sex,age", "--out", "wide", "--save", "wide.safetensors", *QUICK, *ORDER)
if not task("wide", "sex")["converged"]:
    fail("more features than rows do not converge")
nobody = [[r[0], *r[2:]] for r in labels]
write_table("nobody.csv", ["volume_id", *HEADER[2:]], nobody)
run(0, "no subject column", "--features", "features.csv", "--labels", "nobody.csv", "--tasks", "sex", "--out", "nobody", *QUICK)
for code, text, *arguments in [
    (2, "No such file", "--features", "none.csv", "--labels", "labels.csv", "--tasks", "sex", "--out", "no"),
    (2, "No such file", "--features", "features.csv", "--labels", "none.csv", "--tasks", "sex", "--out", "no"),
    (2, "not from", "--features", "features.pdf", "--labels", "labels.csv", "--tasks", "sex", "--out", "no"),
    (2, "--labels", "--features", "features.npy", "--tasks", "sex", "--out", "no"),
    (2, "--tasks", "--features", "features.csv", "--labels", "labels.csv", "--out", "no"),
    (2, "one value alone cannot be told from anything", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex:F", "--out", "no"),
    (2, "neither class nor reg", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex=klass", "--out", "no"),
    (2, "no column", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sexx", "--out", "only_bad"),
    (2, "column", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--id-column", "nope", "--out", "no"),
    (2, "column", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--subject-column", "nope", "--out", "no"),
    (2, "column", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--confounds", "nope", "--out", "no"),
    (2, "--folds", "--features", "features.csv", "--labels", "labels.csv", "--tasks", "sex", "--folds", "1", "--out", "no"),
]:
    run(code, text, *arguments)
if os.path.exists("no"):
    fail("a program that could not start left a folder")

# --in, --data and --model are --features, --labels and --apply.
write_table("alias_f.csv", ["id", "f"], [[f"s{i}", i % 2 + i % 5 / 10] for i in range(40)])
write_table("alias_l.csv", ["id", "subject_id", "sex"], [[f"s{i}", f"p{i}", "FM"[i % 2]] for i in range(40)])
for name, table, labels in [("long", "--features", "--labels"), ("short", "--in", "--data")]:
    run(0, "alias_f", table, "alias_f.csv", labels, "alias_l.csv", "--tasks", "sex", "--out", f"alias_{name}", "--save", f"{name}.probe", *QUICK)
for name, model, table in [("long", "--apply", "--features"), ("short", "--model", "--in")]:
    run(0, "40 rows", model, f"{name}.probe", table, "alias_f.csv", "--out", f"alias_{name}.csv")
for name in ["alias_%s/panel.csv", "alias_%s.csv"]:
    if open(name % "long").read() != open(name % "short").read():
        fail(f"{name}: the options' two names give different results")

print(f"probe: all as it should be")

#!/usr/bin/env python3
"""Runs phantom_cohort as a user would and reads what it wrote with code of its own: phantom_program.py BIN_DIR"""
import csv
import gzip
import json
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BRAING3N = Path(sys.argv[1]).resolve() / "braing3n"
PROGRAM = (BRAING3N, "phantom_cohort")


def run(expected, *arguments):
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == expected, f"{arguments}: exit {done.returncode}, expected {expected}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def check_scan(path, shape):
    raw = gzip.decompress(path.read_bytes())
    assert struct.unpack_from("<i", raw, 0)[0] == 348 and raw[344:348] == b"n+1\0", path
    assert struct.unpack_from("<4h", raw, 40) == (3, *shape), path
    assert struct.unpack_from("<2h", raw, 252) == (1, 1), "both forms"
    spacing = [cover / n for cover, n in zip((160, 192, 160), shape)]
    for axis, sign in enumerate((-1, -1, 1)):  # LPS: to the left, to the back, up
        row = struct.unpack_from("<4f", raw, 280 + 16 * axis)
        assert abs(row[axis] - sign * spacing[axis]) < 1e-4, (path, row)
        assert abs(row[axis] * (shape[axis] - 1) / 2 + row[3]) < 1e-3, (path, row)
    assert raw[148:228].startswith(b"SYNTHETIC braing3n ") and path.name.startswith("SYNTHETIC_"), path
    assert struct.unpack_from("<h", raw, 70)[0] == 4, "int16"
    voxels = struct.unpack_from(f"<{shape[0] * shape[1] * shape[2]}h", raw, 352)
    head = sum(v != 0 for v in voxels) * spacing[0] * spacing[1] * spacing[2] / 1000
    assert 1000 < head < 2100 and min(voxels) == 0 and max(voxels) == 32000, (path, head)


with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    small = ("--shape", "40,48,40", "--quiet", "--seed", "3")
    run(0, "--out", root / "a", "--subjects", 2, "--visits", 2, "--modalities", "T1,FLAIR", "--threads", 1, "--montage", root / "a.png", *small)
    volumes, truth = table(root / "a/volumes.csv"), table(root / "a/truth.csv")
    assert ",".join(volumes[0]) == "volume_id,subject_id,session_id,path,modality,age,sex,disease,site,idh1,cohort,cdr,days"
    assert len(volumes) == 8 and [v["volume_id"] for v in volumes] == [t["volume_id"] for t in truth]
    for row, parts in zip(volumes, truth):
        check_scan(root / "a" / row["path"], (40, 48, 40))
        ml = {name: float(value) for name, value in parts.items() if name != "volume_id"}
        assert abs(ml["brain_ml"] - ml["grey_matter_ml"] - ml["white_matter_ml"] - ml["tumour_ml"]) < 0.01
        assert 700 < ml["brain_ml"] < 1700 and 1 < ml["hippocampi_ml"] < 14 and (ml["tumour_ml"] > 0) == (row["idh1"] != "")
        assert (float(row["days"]) == 0) == (row["session_id"] == "ses-1")
    for first, second in zip(volumes[:4:2], volumes[2:4:2]):
        assert abs(float(second["age"]) - float(first["age"]) - float(second["days"]) / 365.25) < 0.011
    assert json.loads((root / "a/cohort.json").read_text())["seed"] == 3
    assert (root / "a.png").read_bytes().startswith(b"\x89PNG")

    # A larger cohort and other threads: the same people, the same bytes.
    run(0, "--out", root / "b", "--subjects", 3, "--threads", 3, *small)
    same = [v["path"] for v in volumes if v["modality"] == "T1" and v["session_id"] == "ses-1"]
    assert len(same) == 2 and all((root / "a" / p).read_bytes() == (root / "b" / p).read_bytes() for p in same)
    run(0, "--out", root / "c", "--subjects", 1, *small[:-1], 4)
    assert (root / "c" / same[0]).read_bytes() != (root / "a" / same[0]).read_bytes()

    # Other subjects of the same distribution: those of the larger cohort.
    run(0, "--out", root / "f", "--subjects", 2, "--first", 1, *small)
    later = [v["path"] for v in table(root / "f/volumes.csv")]
    assert ["sub-0002" in later[0], "sub-0003" in later[1], len(later)] == [True, True, 2], later
    assert all((root / "f" / p).read_bytes() == (root / "b" / p).read_bytes() for p in later)
    assert json.loads((root / "f/cohort.json").read_text())["first"] == 1

    # The first distribution at requested times: the first visits of the same people, and a record of both.
    run(0, "--out", root / "e", "--subjects", 2, "--distribution", "phantom-1", "--visit-years", "0,1,10", *small)
    later = table(root / "e/volumes.csv")
    assert [v["days"] for v in later] == ["0", "365", "3653"] * 2, later
    assert [v["session_id"] for v in later] == ["ses-1", "ses-2", "ses-3"] * 2
    assert [(v["age"], v["sex"], v["disease"]) for v in later[::3]] == [(v["age"], v["sex"], v["disease"]) for v in volumes[::4]]
    record = json.loads((root / "e/cohort.json").read_text())
    assert record["distribution"] == "phantom-1" and record["visit_years"] == [0, 1, 10] and record["visits"] == 3
    assert json.loads((root / "a/cohort.json").read_text())["distribution"] == "phantom-2"
    for times, words in [("1,2", "expected 0, the first visit, got 1"), ("0,2,1", "expected more than 2 years"), ("0,-1", "expected more than 0 years"),
                         ("0,40", "at most 30 years")]:
        assert words in run(2, "--out", root / "none", "--subjects", 1, "--visit-years", times), times
    assert "excludes" in run(2, "--out", root / "none", "--subjects", 1, "--visits", 2, "--visit-years", "0,1")
    assert "phantom-2" in run(2, "--out", root / "none", "--subjects", 1, "--distribution", "phantom-3")

    # Nothing is overwritten, wrong questions are answered, nothing is left behind.
    assert "exists already" in run(2, "--out", root / "b", "--subjects", 4, *small)
    assert not (root / "b/volumes/SYNTHETIC_sub-0004_ses-1_T1.nii.gz").exists()
    run(0, "--out", root / "b", "--subjects", 3, "--force", *small)
    for arguments, words in [(("--subjects", 0), "--subjects"), ((), "--subjects"), (("--subjects", 1, "--visits", 0), "--visits"),
                             (("--subjects", 1, "--shape", "39,48,40"), "39 x 48 x 40"), (("--subjects", 1, "--shape", "160,192,161"), "161"),
                             (("--subjects", 1, "--modalities", "T3"), "expected one of T1, T2, FLAIR, T1c, got"),
                             (("--subjects", 1, "--modalities", "T1,T1"), "twice"), (("--subjects", 1, "--device", "cpu"), "--device")]:
        assert words in run(2, "--out", root / "none", *arguments), arguments
    assert "--out or --gallery" in run(2, "--subjects", 1)
    assert not (root / "none").exists()
    (root / "file").write_text("in the way")
    assert "cannot make the folder" in run(2, "--out", root / "file", "--subjects", 1, *small)

    # Ctrl-C: what is written stays and has its tables.
    process = subprocess.Popen([*PROGRAM, "--out", root / "d", "--subjects", "5000", "--json-log", root / "log", *small], stdout=subprocess.DEVNULL)
    while not list((root / "d").glob("volumes/SYNTHETIC_sub-0002*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    written = sorted(p.name for p in (root / "d/volumes").iterdir())
    listed = sorted(Path(v["path"]).name for v in table(root / "d/volumes.csv"))
    assert written == listed and len(listed) >= 2, (written, listed)
    events = [json.loads(line)["event"] for line in (root / "log").read_text().splitlines()]
    assert events == ["volume"] * len(listed) + ["done"], events

    done = subprocess.run([BRAING3N, "inspect", root / "a/volumes.csv"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
print("phantom_cohort: all as documented")

#!/usr/bin/env python3
"""Compares what `inspect` reads of every scan under a folder with what nibabel reads: refusals, shape, values and affine.

    python3 tests/tools/compare_nibabel.py --braing3n build-dev/bin/braing3n FOLDER

Needs numpy, nibabel and a program built as Release (without optimisation a first exception alone takes more memory than is allowed below).
Prints a table; exit 1 when something differs that the list of documented exceptions does not name.
Also watched: no crash, no run longer than a minute, and no more memory than 1.5x of what the file's
honest size needs: the volume as float32 and the file itself (and 256 KiB of noise) above a run on a tiny scan. Memory is measured by /usr/bin/time, per file.
"""
import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np

# What differs on purpose, and why.
EXCEPTIONS = {
    "voxoffset_zero.nii": "nibabel takes the header's own bytes as voxels; read here from the end of the header, with a warning",
    "dim0_zero.nii": "nibabel returns an array without elements; a scan without voxels is refused here",
    "complex64.nii": "complex voxels: nibabel drops the imaginary part; refused here",
    "complex128.nii": "complex voxels: nibabel drops the imaginary part; refused here",
    "complex_image.nii.gz": "complex voxels: nibabel drops the imaginary part; refused here",
    "test.mgz": "FreeSurfer's format, not NIfTI; refused here",
}
SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".mgz")


def read_nibabel(path):
    """(list of volumes as float64, affine) or the refusal as text."""
    try:
        image = nibabel.load(path)
        if np.prod([int(n) for n in image.shape], dtype=object) > 2**31:
            return f"{image.shape} voxels: not tried"
        data = np.asarray(image.get_fdata(dtype=np.float64))
        while data.ndim < 3:
            data = data[..., None]
        volumes = data.reshape(data.shape[:3] + (-1,), order="F")
        return [volumes[..., t] for t in range(volumes.shape[3])], np.asarray(image.affine)
    except Exception as e:  # noqa: BLE001  (any refusal counts)
        return f"{type(e).__name__}: {e}".splitlines()[0][:60]


def run_inspect(program, path, index, npy):
    """(report or None, what was said, peak memory in KiB). A child's peak counts its parent's memory before exec, so a small
    program has to start it."""
    command = ["/usr/bin/time", "-q", "-f", "%M", "-o", npy + ".peak", program, "inspect", "--json", "--threads", "1", "--force", "--npy", npy]
    command += [] if index is None else ["--index", str(index)]
    process = subprocess.Popen(command + [str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return None, "hangs", 0
    peak = int(Path(npy + ".peak").read_text().split()[-1])
    if process.returncode < 0 or process.returncode > 2 or "Sanitizer" in err:
        return None, f"crashes ({process.returncode})", peak
    report = json.loads(out) if out else None
    if report is None or report["type"] == "refused":
        return None, err.strip().split(": ", 1)[-1].replace(str(path) + ": ", ""), peak
    return report, err.strip(), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--braing3n", required=True)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    bad = 0
    rows = []
    files = sorted(p for p in options.folder.rglob("*") if p.name.endswith(SUFFIXES))
    if not files:
        sys.exit(f"no scans under {options.folder}")
    with tempfile.TemporaryDirectory() as temporary:
        npy = os.path.join(temporary, "values.npy")
        tiny = os.path.join(temporary, "tiny.nii.gz")  # what the program takes by itself
        nibabel.save(nibabel.Nifti2Image(np.arange(64, dtype=np.float32).reshape(4, 4, 4), [[2, 1, 0, 0], [-1, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]), tiny)
        own = max(run_inspect(options.braing3n, tiny, None, npy)[2] for _ in range(3))  # KiB
        for path in files:
            theirs = read_nibabel(path)
            expected_volumes = theirs[0] if isinstance(theirs, tuple) else None
            count = len(expected_volumes) if expected_volumes is not None else 1
            verdict, note, peak = "", "", 0
            volume = max((v.size for v in expected_volumes or []), default=0)
            honest = (4 * volume + path.stat().st_size) / 1024
            for index in range(max(count, 1)):
                ours, said, used = run_inspect(options.braing3n, path, index if count > 1 else None, npy)
                peak = max(peak, used - own)
                if ours is None and ("crashes" in said or "hangs" in said):
                    verdict, note = "BAD", said
                    break
                if expected_volumes is None or not expected_volumes[0].size:
                    verdict = "both refuse" if ours is None and not isinstance(theirs, tuple) else "refused here" if ours is None else "READ HERE ONLY"
                    note = said if ours is None else str(theirs)
                    break
                if ours is None:
                    verdict, note = "REFUSED HERE", said
                    break
                values, expected = np.load(npy), expected_volumes[index]
                with np.errstate(all="ignore"):
                    rounded = expected.astype(np.float32)
                    same = values.shape == expected.shape and np.array_equal(values, rounded, equal_nan=True)
                    if not same and values.shape == expected.shape:
                        difference = np.nanmax(np.abs(values.astype(np.float64) - expected) / np.maximum(np.abs(expected), 1e-30))
                        same, note = difference < 2e-7, f"values differ by {difference:.2g} of themselves"
                affine = np.array(ours["affine"], dtype=float)
                scale = np.abs(theirs[1]).max()
                distance = float(np.abs(affine - theirs[1]).max())
                if not same:
                    verdict, note = "VALUES DIFFER", note or f"shape {values.shape} and {expected.shape}"
                    break
                if not distance <= 1e-6 * max(scale, 1):
                    verdict, note = "AFFINE DIFFERS", f"by {distance:.3g}"
                    break
                verdict = "equal"
                note = "; ".join(f["id"] for f in ours["findings"])
            if verdict.isupper() and path.name in EXCEPTIONS:
                verdict, note = "documented", EXCEPTIONS[path.name]
            elif verdict == "refused here":
                verdict, note = ("documented", EXCEPTIONS[path.name]) if path.name in EXCEPTIONS else ("REFUSED HERE", note)
            if peak > 1.5 * honest + 256:
                verdict, note = "MEMORY", f"{peak} KiB where {honest:.0f} would do; {note}"
            rows.append((str(path.relative_to(options.folder)), verdict, f"{honest:.0f}", f"{max(peak, 0)}", note))
            bad += verdict.isupper()
    print(f"{'file':41} {'verdict':12} {'needs KiB':>9} {'takes KiB':>9}  findings, or why it was refused")
    for row in rows:
        print("| " + " | ".join(row) + " |" if options.markdown else f"{row[0]:41} {row[1]:12} {row[2]:>9} {row[3]:>9}  {row[4][:150]}")
    count = {v: sum(r[1] == v for r in rows) for v in dict.fromkeys(r[1] for r in rows)}
    print(f"\n{len(rows)} files: " + ", ".join(f"{n} {v}" for v, n in count.items()) + f"; {bad} unexpected")
    print(f"memory above a run on a tiny scan ({own} KiB): at most {max(int(r[3]) / (float(r[2]) + 1) for r in rows if float(r[2]) > 1000):.2f}x of the honest size among files that need a MiB or more")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

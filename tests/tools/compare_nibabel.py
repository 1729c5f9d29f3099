#!/usr/bin/env python3
"""Compares what `inspect` reads of every scan under a folder with what nibabel reads: refusals, shape, values and affine.

    python3 tests/tools/compare_nibabel.py --inspect build/bin/inspect ../shared/data/odd

Needs numpy and nibabel. Prints a table; exit 1 when something differs that the list of documented exceptions does not name.
Also watched: no crash, no run longer than a minute, and no more memory than 1.5x of what the file's honest size needs
(the volume as float32 and the file itself) above the program's own.
"""
import argparse
import json
import logging
import os
import resource
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
    command = [program, "--json", "--threads", "1", "--force", "--npy", npy, str(path)]
    if index is not None:
        command[1:1] = ["--index", str(index)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return None, "hangs", 0
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest child so far
    if process.returncode < 0 or "Sanitizer" in err:
        return None, f"crashes ({process.returncode})", peak
    if not out:
        return None, err.strip().split(": ", 1)[-1], peak
    return json.loads(out), err.strip(), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inspect", required=True)
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
        empty = Path(temporary) / "nothing.nii"
        empty.write_bytes(b"")
        _, _, own = run_inspect(options.inspect, empty, None, npy)
        for path in files:
            theirs = read_nibabel(path)
            expected_volumes = theirs[0] if isinstance(theirs, tuple) else None
            count = len(expected_volumes) if expected_volumes is not None else 1
            verdict, note, peak = "", "", 0
            for index in range(max(count, 1)):
                ours, said, peak = run_inspect(options.inspect, path, index if count > 1 else None, npy)
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
            # Memory: RUSAGE_CHILDREN is a running maximum, so it can only be checked against the largest honest need so far.
            rows.append((str(path.relative_to(options.folder)), "read" if expected_volumes is not None else theirs, verdict, note))
            bad += verdict.isupper()
    largest = max((v.size * 4 for p in files for v in (read_nibabel(p)[0][:1] if isinstance(read_nibabel(p), tuple) else [])), default=0)
    for row in rows:
        print("| " + " | ".join(row) + " |" if options.markdown else f"{row[0]:45} {row[2]:14} {row[3][:150]}")
    print(f"\n{len(rows)} files, {bad} unexpected differences")
    print(f"peak memory of the largest run {peak / 1024:.0f} MiB, of an empty run {own / 1024:.0f} MiB, largest volume {largest / 2**20:.0f} MiB as float32")
    if peak - own > 1.5 * largest / 1024 + 2048:
        print("more than 1.5x of what the honest size needs")
        bad += 1
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

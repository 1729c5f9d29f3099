#!/usr/bin/env python3
"""Compares compiled CUDA kernels with their limits: check_kernels.py [--write] [--limits FILE] OBJECTS...

OBJECTS are object files, archives or programs of nvcc for one architecture. Registers come from `cuobjdump -res-usage`, instructions from
`cuobjdump -sass`, which runs nvdisasm (PyPI: nvidia-cuda-cuobjdump, nvidia-cuda-nvdisasm). No GPU is needed. tests/cuda/kernels.csv has a row per
kernel, the worst of its instances:

  registers   at most so many per thread
  local       at most so many instructions that reach local memory (LDL, STL): spilled registers, arrays that are indexed
  bytes       at least so many in the widest load or store of global memory, of some instance; copies to shared memory count
  tensor      yes: every instance has products of tensor cores (HMMA, HGMMA)

A kernel without a row, a row without a kernel and a limit that does not hold are named, and the exit code is 1. --write writes what was found,
with one eighth more registers."""
import argparse
import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["kernel", "registers", "local", "bytes", "tensor"]
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}
FUNCTION = re.compile(r"Function\s*:?\s*(\S+?):?\s*$")
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")


def output_of(*command):
    if not shutil.which(command[0]):
        sys.exit(f"check_kernels: {command[0]} is not on the PATH; tests/cuda/requirements.txt has its package")
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"check_kernels: {' '.join(command)}: {run.stderr.strip() or run.stdout.strip()}")
    return run.stdout


def base_name(mangled):
    """"softmax_kernel" of a mangled template, by the first name that the mangling spells and that ends in _kernel; None for other functions."""
    names = [mangled[m.end():m.end() + int(m.group())] for m in re.finditer(r"\d+", mangled)]
    kernels = [name for name in names if name.endswith("_kernel") and name.isidentifier()]
    return kernels[0] if kernels else None


def width_of(opcode):
    parts = opcode.split(".")
    return next((WIDTHS[p] for p in parts if p in WIDTHS), 4)


class Kernel:
    def __init__(self):
        self.registers = self.local = self.bytes = 0
        self.instances, self.tensor = set(), set()

    def add(self, instance, opcode):
        kind = opcode.split(".")[0]
        if kind in ("LDL", "STL"):
            self.local += 1
        elif kind in ("LDG", "STG", "LDGSTS"):
            self.bytes = max(self.bytes, width_of(opcode))
        elif kind in ("HMMA", "HGMMA"):
            self.tensor.add(instance)

    def row(self, name):
        everywhere = bool(self.instances) and self.tensor == self.instances
        return {"kernel": name, "registers": self.registers, "local": self.local, "bytes": self.bytes,
                "tensor": "yes" if everywhere else "no"}


def read_objects(paths):
    kernels = {}
    for path in paths:
        name = None
        for line in output_of("cuobjdump", "-res-usage", path).splitlines():
            if found := FUNCTION.search(line):
                name = base_name(found.group(1))
                instance = found.group(1)
            elif name and (found := re.search(r"REG:(\d+)", line)):
                kernel = kernels.setdefault(name, Kernel())
                kernel.registers = max(kernel.registers, int(found.group(1)))
                kernel.instances.add(instance)
        name, local = None, {}
        for line in output_of("cuobjdump", "-sass", path).splitlines():
            if found := FUNCTION.search(line):
                instance, name = found.group(1), base_name(found.group(1))
            elif name and (found := INSTRUCTION.search(line)):
                kernels.setdefault(name, Kernel()).add(instance, found.group(1))
    return {name: kernel.row(name) for name, kernel in sorted(kernels.items())}


def read_limits(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or list(rows[0]) != COLUMNS:
        sys.exit(f"check_kernels: {path}: expected the columns {', '.join(COLUMNS)}")
    return {row["kernel"]: row for row in rows}


def findings(found, limits):
    for name in sorted(found.keys() | limits.keys()):
        if name not in limits:
            yield f"{name}: has no limits"
        elif name not in found:
            yield f"{name}: has limits, but is in no object"
        else:
            is_, limit = found[name], limits[name]
            for column, broken in (("registers", is_["registers"] > int(limit["registers"])),
                                   ("local", is_["local"] > int(limit["local"])),
                                   ("bytes", is_["bytes"] < int(limit["bytes"])),
                                   ("tensor", limit["tensor"] == "yes" and is_["tensor"] != "yes")):
                if broken:
                    yield f"{name}: {column}: expected {limit[column]}, got {is_[column]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--limits", type=Path, default=ROOT / "tests" / "cuda" / "kernels.csv")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()
    found = read_objects(arguments.objects)
    if not found:
        sys.exit("check_kernels: no kernels in these objects")
    if arguments.write:
        with open(arguments.limits, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(dict(row, registers=min(255, -(-row["registers"] * 9 // 64) * 8)) for row in found.values())
        print(f"check_kernels: {len(found)} kernels written")
        return
    problems = list(findings(found, read_limits(arguments.limits)))
    for problem in problems:
        print(f"check_kernels: {problem}")
    if problems:
        sys.exit(1)
    print(f"check_kernels: {len(found)} kernels within their limits")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compiles every header of include/ alone, without generating code: check_headers_alone.py [SOURCES...]
SOURCES are checked likewise, on top of what they include. Prints every finding; exit 1 when there is one.

Most headers are compiled behind the precompiled form of a header that they include anyway, so nothing is declared that would not be
declared without it: a missing include is found as in a compilation from nothing, in a third of the time. The precompiled headers are chosen
from the includes; each of them is itself compiled from nothing. Includes inside #if, and behind a header's own
code, count as not included: their headers are read again.

CXX names the compiler (default clang++-19), JOBS the parallel compilers (default 2).
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
# BRAING3N_COMPILED leaves out the bodies of linalg/ that only braing3n::compiled and header-only users compile: each is a header that is
# compiled alone here, and check_plain_use.sh compiles the umbrella headers with them.
FLAGS = ["-std=c++20", "-DBRAING3N_COMPILED", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-deprecated-declarations", "-Wno-pass-failed",
         f"-I{INCLUDE}", f"-I{ROOT}", "-isystem", "/usr/include/eigen3", "-isystem", "/usr/include/nifti"]
# Headers that need a GPU's toolkit are compiled by verify_cuda_headers.sh.
NEEDS_CUDA = re.compile(r"braing3n/backend/cuda/")
# Roughly the tenths of a second that reading a header of others takes; 1 for those that are not listed. They decide how long the check
# takes, not what it finds.
COST = {"Eigen/Core": 12, "Eigen/Cholesky": 14, "Eigen/Eigenvalues": 18, "Spectra/SymEigsSolver.h": 20, "algorithm": 3,
        "chrono": 3, "filesystem": 4, "functional": 3, "immintrin.h": 4, "memory": 2, "nlohmann/json.hpp": 13, "oneapi/dnnl/dnnl.hpp": 6,
        "random": 3, "ranges": 3, "xtensor/xadapt.hpp": 12, "xtensor/xtensor.hpp": 12}
START_COST = 1  # of a compiler that loads a precompiled header
WRITE_COST = 0.4  # of writing the precompiled form of a header, as a part of reading it


def includes_of(path):
    """What a file includes, our own headers as braing3n/..., those of others as they are written: first what every compilation reads before
    the file's own code, then all."""
    uncertain, own_code, always, every = [], False, set(), set()  # uncertain: for each open #if
    for line in path.read_text().splitlines():
        if re.match(r"\s*#\s*if", line):
            uncertain.append("__has_include(<nifti" not in line)  # FLAGS name its folder
        elif re.match(r"\s*#\s*endif", line):
            uncertain.pop()
        elif match := re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line):
            every.add(match.group(1))
            if not any(uncertain) and not own_code:
                always.add(match.group(1))
        elif not re.match(r"\s*($|#|//)", line):
            own_code = True
    return always, every


class Node:
    """A header or a source. `closure`: what it always includes in the end, itself included; `reach`: what it may include; `cost`: of reading it;
    `base`: the header behind whose precompiled form it is compiled."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.includes, self.may_include = includes_of(path)
        self.base = None


def reached(name, step, seen):
    """Adds to `seen` what is reached from `name`, itself left out unless an include leads back to it."""
    for other in step(name):
        if other not in seen:
            seen.add(other)
            reached(other, step, seen)
    return seen


def read_tree(sources):
    paths = {str(path.relative_to(INCLUDE)): path for path in sorted(INCLUDE.rglob("*.hpp"))}
    paths.update({str(path): path for path in sources})
    nodes = {name: Node(name, path) for name, path in paths.items() if not NEEDS_CUDA.match(name)}
    for node in nodes.values():
        node.closure = {node.name} | reached(node.name, lambda name: nodes[name].includes if name in nodes else (), set())
        node.reach = reached(node.name, lambda name: nodes[name].may_include if name in nodes else (), set())
        node.cost = sum(COST.get(name, 1) for name in node.closure)
    return list(nodes.values())


def choose_precompiled(nodes):
    """Sets the bases: again and again the header is precompiled that saves most."""
    # A header that leads back to the one that includes it would have read it before.
    users = {base.name: [node for node in nodes if node is not base and base.name in node.closure and node.name not in base.reach] for base in nodes}
    cost, chosen = {node.name: node.cost for node in nodes}, set()

    def saved(base):
        with_base = {node: node.cost - base.cost + START_COST for node in users[base.name] if node.name not in chosen}
        return sum(max(0, cost[node.name] - new) for node, new in with_base.items()) - (base.cost * (1 + WRITE_COST) - cost[base.name])

    while True:
        best = max((node for node in nodes if node.name not in chosen), key=lambda node: (saved(node), node.name))
        if saved(best) <= 0:
            return chosen
        chosen.add(best.name)
        best.base, cost[best.name] = None, best.cost * (1 + WRITE_COST)
        for node in users[best.name]:
            if node.name not in chosen and node.cost - best.cost + START_COST < cost[node.name]:
                node.base, cost[node.name] = best, node.cost - best.cost + START_COST


def precompiled(scratch, node):
    return scratch / (re.sub(r"[^A-Za-z0-9]", "_", node.name) + ".pch")


def compile_alone(compiler, scratch, node, precompile):
    """Returns what the compiler has to say, or nothing."""
    result = precompiled(scratch, node)
    unit = result.with_suffix(".hpp")
    unit.write_text(f'#include "{node.name}"\n')

    def said(*options):
        done = subprocess.run([compiler, *FLAGS, *map(str, options)], capture_output=True, text=True)
        return done.stderr or f"{compiler} ends with {done.returncode}" if done.returncode else ""

    if precompile:
        return said("-x", "c++-header", unit, "-fpch-instantiate-templates", "-o", result)
    # What fails behind a precompiled header is compiled again from nothing: its messages count.
    if node.base and precompiled(scratch, node.base).is_file() and not said("-include-pch", precompiled(scratch, node.base), "-x", "c++", "-fsyntax-only", unit):
        return ""
    return said("-x", "c++", "-fsyntax-only", unit)


def check(nodes, compiler, jobs):
    """Returns {name: what the compiler said} of the nodes that fail."""
    chosen = choose_precompiled(nodes)
    scratch = Path(tempfile.mkdtemp())
    failures = {}
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for first in (True, False):  # precompiled headers, then the others
                part = [node for node in nodes if (node.name in chosen) == first]
                for node, text in zip(part, pool.map(lambda node: compile_alone(compiler, scratch, node, first), part)):
                    if text:
                        failures[node.name] = text
    finally:
        shutil.rmtree(scratch)
    return failures


nodes = read_tree([Path(name).resolve() for name in sys.argv[1:]])
failures = check(nodes, os.environ.get("CXX", "clang++-19"), int(os.environ.get("JOBS", "2")))
for name, said in sorted(failures.items()):
    print(f"{name}: fails alone\n{said}", end="")
print(f"headers alone: {len(nodes) - len(failures)} of {len(nodes)} compile")
sys.exit(1 if failures else 0)

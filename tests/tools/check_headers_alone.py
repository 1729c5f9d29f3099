#!/usr/bin/env python3
"""Compiles every header of include/ alone, without generating code: check_headers_alone.py [SOURCES...]
SOURCES are checked likewise, on top of what they include. Prints every finding; exit 1 when there is one.

A header is compiled behind headers that it includes anyway, so nothing is declared that would not be declared without them: a missing
include is found as in a compilation from nothing, much sooner. Such headers stand before it in the same unit, which is a chain of headers
where each includes the one before, or in a precompiled header. Chains and precompiled headers are chosen from the includes. Includes inside
#if, and behind a header's own code, count as not included: their headers are read again. The headers of a unit that fails are each compiled
again, from nothing.

CXX names the compiler (default clang++-19), JOBS the parallel compilers (default 2). With VERBOSE set, the time of every unit is printed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
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
VERBOSE = "VERBOSE" in os.environ


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
    """A header or a source. `closure`: what it always includes in the end, itself included; `reach`: what it may include; `cost`: of reading it."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.includes, self.may_include = includes_of(path)


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


def may_precede(first, node):
    """Whether `node` reads the same behind `first` as from nothing. A header that leads back to `node` would have read it before."""
    return first is not node and first.name in node.closure and node.name not in first.reach


def cost_behind(base, node):
    return node.cost - base.cost + START_COST


def choose_precompiled(nodes):
    """Returns the headers that are precompiled: again and again the one that saves most, as if every header were a unit."""
    users = {base: [node for node in nodes if may_precede(base, node)] for base in nodes}
    cost, chosen = {node: node.cost for node in nodes}, set()

    def saved(base):
        gain = sum(max(0, cost[node] - cost_behind(base, node)) for node in users[base] if node not in chosen)
        return gain - (base.cost * (1 + WRITE_COST) - cost[base])

    while True:
        best = max((node for node in nodes if node not in chosen), key=lambda node: (saved(node), node.name))
        if saved(best) <= 0:
            return chosen
        chosen.add(best)
        cost[best] = best.cost * (1 + WRITE_COST)
        for node in users[best]:
            if node not in chosen:
                cost[node] = min(cost[node], cost_behind(best, node))


def chains_of(nodes):
    """Divides nodes into chains, each of which includes the one before it, so that the last ones cost least. A node that has a next one in
    its chain costs nothing: the dearest find theirs first, and those found give way to another (augmenting paths), which is optimal."""
    before = {}  # of each node that is not the first of its chain

    def find_next(node, seen):
        for other in nodes:
            if other not in seen and may_precede(node, other):
                seen.add(other)
                if other not in before or find_next(before[other], seen):
                    before[other] = node
                    return True
        return False

    for node in sorted(nodes, key=lambda node: (-node.cost, node.name)):
        find_next(node, set())
    chains = []
    for last in sorted(set(nodes) - set(before.values()), key=lambda node: node.name):
        chains.append([last])
        while chains[-1][0] in before:
            chains[-1].insert(0, before[chains[-1][0]])
    return chains


class Unit:
    """A chain of nodes that one compiler reads. `base`: the header behind whose precompiled form it does, or None."""

    def __init__(self, nodes, base, precompile):
        self.nodes, self.base, self.precompile = nodes, base, precompile
        self.cost = nodes[-1].cost * (1 + WRITE_COST) if precompile else cost_behind(base, nodes[-1]) if base else nodes[-1].cost


def units_with(nodes, chosen):
    """The units when the headers `chosen` are precompiled."""
    groups = {}  # by base
    for node in nodes:
        bases = [base for base in chosen if may_precede(base, node)] if node not in chosen else []
        groups.setdefault(max(bases, key=lambda base: (base.cost, base.name), default=None), []).append(node)
    units = []
    for base, group in groups.items():
        for chain in chains_of(group):
            begin = 0
            for end, node in enumerate(chain, 1):  # a precompiled header ends its unit
                if node in chosen or end == len(chain):
                    units.append(Unit(chain[begin:end], base, node in chosen))
                    begin = end
    return units


def choose_units(nodes):
    chosen = choose_precompiled(nodes)
    best = units_with(nodes, chosen)
    for base in sorted(chosen, key=lambda node: node.name):  # chains need fewer of them
        units = units_with(nodes, chosen - {base})
        if sum(unit.cost for unit in units) < sum(unit.cost for unit in best):
            chosen, best = chosen - {base}, units
    return sorted(best, key=lambda unit: -unit.cost)


class Compiler:
    def __init__(self, command, scratch):
        self.command, self.scratch = command, scratch

    def said(self, nodes, *options):
        """What the compiler says of a unit that includes `nodes`, or nothing."""
        unit = self.file(nodes[-1], ".hpp")
        unit.write_text("".join(f'#include "{node.name}"\n' for node in nodes))
        done = subprocess.run([self.command, *FLAGS, *map(str, options), unit], capture_output=True, text=True)
        return done.stderr or f"{self.command} ends with {done.returncode}" if done.returncode else ""

    def file(self, node, ending):
        return self.scratch / (re.sub(r"[^A-Za-z0-9]", "_", node.name) + ending)

    def check(self, unit):
        """Returns {name: what the compiler said} of the nodes of a unit that fail."""
        if unit.precompile:
            options = ["-x", "c++-header", "-fpch-instantiate-templates", "-o", self.file(unit.nodes[-1], ".pch")]
        else:
            options = ["-x", "c++", "-fsyntax-only"]
        if unit.base:
            options = ["-include-pch", self.file(unit.base, ".pch"), *options]
        start = time.monotonic()
        failed = self.said(unit.nodes, *options)
        if VERBOSE:
            print(f"{time.monotonic() - start:6.2f} s for {unit.cost:5.1f}: {' '.join(node.name for node in unit.nodes)}"
                  f" [{unit.base.name if unit.base else ''}{' precompiled' if unit.precompile else ''}]", flush=True)
        if not failed:
            return {}
        alone = {node.name: self.said([node], "-x", "c++", "-fsyntax-only") for node in unit.nodes}
        return {name: text for name, text in alone.items() if text}


def check(nodes, command, jobs):
    """Returns {name: what the compiler said} of the nodes that fail."""
    units = choose_units(nodes)
    scratch = Path(tempfile.mkdtemp())
    compiler, failures = Compiler(command, scratch), {}
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for first in (True, False):  # precompiled headers, then the others
                for found in pool.map(compiler.check, [unit for unit in units if unit.precompile == first]):
                    failures.update(found)
    finally:
        shutil.rmtree(scratch)
    return failures


nodes = read_tree([Path(name).resolve() for name in sys.argv[1:]])
failures = check(nodes, os.environ.get("CXX", "clang++-19"), int(os.environ.get("JOBS", "2")))
for name, said in sorted(failures.items()):
    print(f"{name}: fails alone\n{said}", end="")
print(f"headers alone: {len(nodes) - len(failures)} of {len(nodes)} compile")
sys.exit(1 if failures else 0)

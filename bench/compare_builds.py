#!/usr/bin/env python3
"""Two builds of the benchmarks, measured in turn: is the newer one slower?

    bench/compare_builds.py OLD/bench NEW/bench [--rounds 9] [--threads 2] [--only REGEX]

Every benchmark runs ROUNDS times in each build, old and new in turn, so that a drift of the machine meets both. For each line that both
print, the ratio is median time (new) / median time (old); below 1 the new build is faster. The last lines give the geometric mean and
every line that is more than 5 % slower. Nothing else should run on the machine.
"""
import argparse
import math
import os
import re
import statistics
import subprocess
import sys

# One short call per benchmark; each prints lines "label  first figure ...".
CALLS = (
    ("attention", ["--budget", "0.05", "--bf16"]),
    ("gemm", ["--rounds", "1", "--providers", "default"]),
    ("norms", ["--budget", "0.02"]),
    ("memory_bound", ["--budget", "0.1", "--million", "16"]),
    ("conv", ["--repeats", "1", "small", "forward"]),
    ("models", ["--repeats", "1", "encoder", "dit"]),
    ("probe", ["--rows", "3000", "--tasks", "6"]),
    ("volume", []),
)
NUMBER = r"([0-9]+[.][0-9]+)"


def seconds(name, text):
    """{label: time-like figure} of one run; rates are inverted, so less is better everywhere."""
    found, section = {}, ""
    for line in text.splitlines():
        if name == "probe":
            match = re.search(r"fits and scores " + NUMBER + " s", line)
            if match:
                found["fits and scores"] = float(match[1])
            continue
        if line.startswith("loader"):  # waits for a clock, measures nothing of ours
            continue
        if name == "attention" and re.match(r"(f32|bf16),", line):
            section = line.split(",")[0] + " "
        match = re.match(r"(.*?)\s{2,}[|]?\s*" + NUMBER, line)
        if name == "attention":
            match = re.match(r"(.*?[)])\s*[|]\s*" + NUMBER + r".*?[|]\s*" + NUMBER, line)
        if not match or float(match[2]) == 0:
            continue
        label = section + re.sub(r"\s+", " ", match[1].strip())
        found[label] = 1 / float(match[2]) if name == "gemm" else float(match[2])
        if name == "attention":
            found[label + " backward"] = float(match[3])
    return found


def run(folder, name, options, threads):
    program = os.path.join(folder, "bench_" + name)
    result = subprocess.run([program, "--threads", str(threads)] + options, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{program}: exit code {result.returncode}: {result.stderr.strip()}")
    return seconds(name, result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="benchmarks whose name matches")
    a = parser.parse_args()
    ratios, lost = {}, []
    for name, options in CALLS:
        if not re.search(a.only, name):
            continue
        if not all(os.path.exists(os.path.join(f, "bench_" + name)) for f in (a.old, a.new)):
            sys.exit(f"bench_{name}: expected in both {a.old} and {a.new}")
        old, new = {}, {}
        for _ in range(a.rounds):
            for folder, times in ((a.old, old), (a.new, new)):
                for label, value in run(folder, name, options, a.threads).items():
                    times.setdefault(label, []).append(value)
        lost += [f"{name}: {label}" for label in old if label not in new]
        for label in (label for label in old if label in new):
            o, n = statistics.median(old[label]), statistics.median(new[label])
            spread = (max(old[label]) - min(old[label])) / o
            ratios[f"{name}: {label}"] = n / o
            print(f"{n / o:6.3f}   {name}: {label}   (old runs spread over {100 * spread:.0f} %)", flush=True)
    if not ratios:
        sys.exit("no line that both builds print")
    mean = math.exp(statistics.mean(math.log(r) for r in ratios.values()))
    print(f"\n{len(ratios)} lines, {a.rounds} rounds: geometric mean {mean:.3f}")
    for label in lost:
        print(f"only the old build prints  {label}")
    for label, r in sorted(ratios.items(), key=lambda item: -item[1]):
        if r > 1.05:
            print(f"slower by {100 * (r - 1):.0f} %: {label}")


if __name__ == "__main__":
    main()

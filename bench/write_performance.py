#!/usr/bin/env python3
"""Fills the tables of docs/performance.md with what the benchmarks of a build print on this machine.

    bench/write_performance.py BUILD/bench [--threads 2] [--only NAME,...] [--page docs/performance.md]

In the page a table stands between the lines "<!-- bench NAME -->" and "<!-- end -->". NAME is a benchmark, "machine", or one of the
comparisons "pytorch" and "sklearn", which are filled only where PyTorch and scikit-learn can be imported (the latter with the threads of
its own). What is not asked for, or
cannot run here, keeps what the page has. Nothing else should run on the machine.
"""
import argparse
import datetime
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
OPTIONS = {
    "gemm": ["--rounds", "5", "--providers", "default"],
    "conv": ["--repeats", "3", "forward", "up", "ends"],
    "attention": ["--bf16"],
    "norms": [],
    "memory_bound": [],
    "models": ["--repeats", "3", "encoder", "encoder-bf16", "dit", "d1", "mae-step"],
    "probe": ["--rows", "35309", "--tasks", "4"],
    "volume": [],
    "linalg": [],
}
# What each comparison needs, and its command after the folder of the benchmarks.
COMPARISONS = {
    "pytorch": ("torch", lambda bench, threads: [HERE / "pytorch_compare.py", "--bench", bench, "--threads", threads, "gemm", "attention", "conv", "encoder", "mae-step"]),
    "sklearn": ("sklearn", lambda bench, threads: [HERE / "probe_sklearn.py", pathlib.Path(bench) / "bench_probe", "--folds", "1", "--per-kind", "1",
                                          "--skip-same-gradient"]),
}


def output(command):
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(str(c) for c in command)}: exit code {result.returncode}:\n{result.stdout}")
    return result.stdout.rstrip()


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(encoding="utf-8"))
    compiler = output(["c++", "--version"]).splitlines()[0]
    return (f"{os.cpu_count()} cores of {cpu[1].strip() if cpu else 'an unknown processor'}, "
            f"{int(memory[1]) / 2**20:.0f} GiB, {compiler}, {datetime.date.today().isoformat()}")


def measured(name, bench, threads):
    """The text of a table, or nothing where it cannot be measured here."""
    if name == "machine":
        return machine()
    if name in COMPARISONS:
        module, command = COMPARISONS[name]
        if importlib.util.find_spec(module) is None:
            print(f"{name}: {module} is not installed; the page keeps its table")
            return None
        return "```text\n" + output([sys.executable] + command(bench, threads)) + "\n```"
    program = pathlib.Path(bench) / ("bench_" + name)
    if not program.exists():
        sys.exit(f"{program}: not there; build the preset bench first")
    return "```text\n" + output([program, "--threads", threads] + OPTIONS.get(name, [])) + "\n```"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="tables to fill, separated by commas")
    parser.add_argument("--page", type=pathlib.Path, default=HERE.parent / "docs" / "performance.md")
    a = parser.parse_args()
    wanted = [n for n in a.only.split(",") if n]
    page = a.page.read_text(encoding="utf-8")
    names = re.findall(r"^<!-- bench (\w+) -->$", page, re.M)
    for name in wanted:
        if name not in names:
            sys.exit(f"{a.page}: no table {name}; there are {', '.join(names)}")
    for name in names:
        text = measured(name, a.bench, a.threads) if not wanted or name in wanted else None
        if text is None:
            continue
        page = re.sub(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", lambda m, t=text: m[1] + t + "\n" + m[2], page, count=1, flags=re.S)
        a.page.write_text(page, encoding="utf-8")
        print(f"{name}: filled", flush=True)


if __name__ == "__main__":
    main()

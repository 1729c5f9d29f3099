#!/usr/bin/env python3
"""Everything that a GPU has to show, in one run of a few minutes.

    bench/gpu_check.py pack --build BUILD --out FOLDER     where nvcc is: gathers programs and fixtures, at most 60 MB
    FOLDER/gpu_check.py run --out RESULTS [--seconds 540]  on a machine with a GPU: needs Python, the driver and cuBLASLt (of a toolkit or of PyTorch)

BUILD is a build with -DBRAING3N_CUDA=ON -DBRAING3N_BUILD_BENCH=ON. A run has parts: the device, all CUDA tests with their fixtures, the small tests
under compute-sanitizer where there is one, a small pipeline of the program on CPU and GPU, ops and models beside the rates of copies and products, and the
same products in PyTorch where it can be imported. Each part has a limit of its own, and one that fails does not stop the others. RESULTS gets gpu_check.csv
(part, case, milliseconds, figure, unit, share, of), device.json and the output of each part. The exit code is 1 when a part failed.
"""
import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = ["part", "case", "milliseconds", "figure", "unit", "share", "of"]
PROGRAMS = {"tests": ["test_cuda"], "bench": ["bench_gpu_ops", "bench_gpu_models"], "bin": ["braing3n"]}
FIXTURES = ["dit", "mae_monai", "cnn_decoder", "probe_sklearn", "bridge"]
MOST_BYTES = 60_000_000


def libraries_of(program):
    """Shared libraries that another machine may lack: not those of the C library, of the driver and of CUDA."""
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split()[2] for line in lines if "=> /" in line]
    return [path for path in found if not re.match(r"(ld-linux|lib(c|m|dl|rt|pthread)\.|libcu|libnv)", Path(path).name)]


def search_path():
    """Where a packed program finds its libraries."""
    folders = [HERE / "lib", Path("/usr/local/cuda/lib64"), *map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(":"))]
    folders += [folder for root in sys.path for folder in sorted(Path(root or ".").glob("nvidia/*/lib"))]
    return ":".join(str(folder) for folder in folders if str(folder) != ".")


def pack(build, out):
    if out.exists():
        sys.exit(f"gpu_check: {out} is there already; expected a new folder")
    missing = [folder + "/" + name for folder, names in PROGRAMS.items() for name in names if not (build / folder / name).is_file()]
    if missing:
        sys.exit(f"gpu_check: {build} lacks {', '.join(missing)}; expected a build with BRAING3N_CUDA and BRAING3N_BUILD_BENCH")
    out.mkdir(parents=True)
    for folder, names in PROGRAMS.items():
        for name in names:
            shutil.copy2(build / folder / name, out / name)
            subprocess.run(["strip", out / name], check=True)
            for library in libraries_of(out / name):
                (out / "lib").mkdir(exist_ok=True)
                shutil.copy2(library, out / "lib" / Path(library).name)
    for name in FIXTURES:
        shutil.copytree(HERE.parent / "tests" / "fixtures" / name, out / "fixtures" / name)
    shutil.copy2(Path(__file__), out / "gpu_check.py")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"gpu_check: {size / 1e6:.1f} MB in {out}")
    if size > MOST_BYTES:
        sys.exit(f"gpu_check: expected at most {MOST_BYTES / 1e6:.0f} MB: programs for one architecture")


class Run:
    def __init__(self, out, seconds):
        self.out, self.end, self.rows, self.failed = out, time.monotonic() + seconds, [], []

    def add(self, part, case, seconds="", figure="", unit="", share="", of=""):
        milliseconds = f"{1e3 * seconds:.1f}" if seconds != "" else ""
        self.rows.append(dict(zip(COLUMNS, [part, case, milliseconds, figure, unit, share, of])))
        with open(self.out / "gpu_check.csv", "w", newline="") as file:  # after each part: what is known survives a machine that is taken away
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def part(self, name, limit, command):
        """Runs a command and returns its output, or None where it failed or had no time left. The output is kept in NAME.txt."""
        left = min(limit, self.end - time.monotonic())
        begin = time.monotonic()
        verdict = "no time left"
        text = ""
        if left > 1:
            try:
                done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=left,
                                      env={**os.environ, "BRAING3N_FIXTURES": str(HERE / "fixtures"), "LD_LIBRARY_PATH": search_path()})
                text = done.stdout + done.stderr
                verdict = "passed" if done.returncode == 0 else f"ended with {done.returncode}"
            except subprocess.TimeoutExpired as late:
                text = "".join(part.decode(errors="replace") if isinstance(part, bytes) else part or "" for part in (late.stdout, late.stderr))
                verdict = f"not done after {left:.0f} s"
            except OSError as error:
                verdict = str(error)
        (self.out / f"{name}.txt").write_text(text)
        self.add(name, verdict, time.monotonic() - begin)
        print(f"{name}: {verdict}, {time.monotonic() - begin:.0f} s", flush=True)
        if verdict != "passed":
            self.failed.append(name)
            return None
        return text

    def figures(self, name, limit, command):
        """A part whose output has lines of the columns of the CSV."""
        text = self.part(name, limit, command)
        for row in csv.reader((text or "").splitlines()):
            if len(row) == len(COLUMNS) and row != COLUMNS:
                self.rows.append(dict(zip(COLUMNS, row)))
        self.add(name, "figures", figure=sum(row["part"] == name for row in self.rows), unit="lines")


def device(run):
    query = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,compute_cap"
    text = run.part("device", 30, ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"])
    values = dict(zip(query.split(","), [word.strip() for word in (text or "").splitlines()[0].split(",")])) if text else {}
    (run.out / "device.json").write_text(json.dumps(values, indent=2) + "\n")
    for name, value in values.items():
        run.add("device", name, figure=value)


def losses(folder, model):
    path = folder / model / "log.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [event["loss"] for event in events if event.get("event") == "step"]


def pipeline(run):
    """The quickstart on both devices, and how far their losses are apart: the same trainings on the same scans."""
    folders = {}
    for name in ("cpu", "cuda"):
        folders[name] = run.out / f"quickstart-{name}"
        if run.part(f"quickstart-{name}", 120, [HERE / "braing3n", "quickstart", "--smoke", "--quiet", "--device", name, "--out", folders[name]]) is None:
            return
    for model in ("mae", "tokenizer", "dit"):
        here, there = (losses(folders[name], model) for name in ("cpu", "cuda"))
        if not here or len(here) != len(there):
            run.failed.append(f"losses of {model}")
            continue
        apart = max(abs(a - b) / abs(a) for a, b in zip(here, there))
        run.add("pipeline", f"losses of {model}", figure=f"{apart:.1e}", unit="relative", of="CPU")
        if not apart < 1e-4:
            run.failed.append(f"losses of {model}")
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)


PYTORCH = """
import torch, time
x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
q = torch.randn(16, 16, 1201, 72, device="cuda", dtype=torch.bfloat16)
def seconds(f):
    for _ in range(3): f()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(20): f()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / 20
for what, flop, f in [("products BF16", 2 * 8192**3, lambda: x @ x),
                      ("attention BF16; MAE; all tokens; width 72", 4 * 16 * 16 * 1201**2 * 72, lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))]:
    t = seconds(f)
    print(f"pytorch,{what},{t * 1e3:.4f},{flop / t * 1e-9:.1f},GFLOP/s,,")
"""


def check(out, seconds):
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, seconds)
    device(run)
    run.part("tests", 180, [HERE / "test_cuda"])
    if sanitizer := shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer"):
        for tool in ("memcheck", "racecheck"):
            run.part(tool, 60, [sanitizer, "--tool", tool, "--error-exitcode", "9", HERE / "test_cuda", "--test-case-exclude=*step*,*panel*,*transformer*"])
    pipeline(run)
    run.figures("ops", 90, [HERE / "bench_gpu_ops", "--budget", "0.2"])
    run.figures("models", 120, [HERE / "bench_gpu_models", "--budget", "0.5"])
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0:
        run.figures("pytorch", 60, [sys.executable, "-c", PYTORCH])
    print(f"gpu_check: {len(run.rows)} lines in {out / 'gpu_check.csv'}" + (f"; failed: {', '.join(run.failed)}" if run.failed else ""))
    return 1 if run.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="gather programs and fixtures")
    packing.add_argument("--build", type=Path, required=True)
    packing.add_argument("--out", type=Path, required=True)
    running = commands.add_parser("run", help="on a machine with a GPU, from the folder that was packed")
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--seconds", type=float, default=540)
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.build, arguments.out)
        return 0
    return check(arguments.out, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())

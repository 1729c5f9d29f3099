#!/usr/bin/env python3
"""Times PyTorch and our benchmarks on the same shapes and models in turn and prints ratios from one run.

    bench/pytorch_compare.py --bench BUILD/bench [--blas FOLDER] [--threads 2] [--rounds 3]
                             [gemm] [gemm-bf16] [attention] [conv] [encoder] [dit] [d1] [mae-step]     (default: all)

PyTorch must be installed. For an honest opponent its environment is set before it is loaded: one OpenMP pool, an allocator that
keeps freed pages, no forced OpenBLAS core. What it multiplies matrices with decides everything: Debian's PyTorch loads whatever
libblas.so.3 is, which without OpenBLAS is the reference one (a hundred times slower; refused here), and with the pthread build of
OpenBLAS two thread pools fight over the cores. Install libopenblas0-openmp, or unpack it anywhere and give the folder that holds its
libblas.so.3 as --blas.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

# The gradient runs on a thread of its own, and its allocations should find the pages that the forward pass left.
ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456", "MALLOC_ARENA_MAX": "1",
               "OMP_WAIT_POLICY": "passive"}
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
GEMM = ((1200, 1152, 3456), (1200, 1152, 1152), (1200, 1152, 4608), (1200, 4608, 1152), (360, 1152, 4608), (2400, 1152, 4608))
ATTENTION = ((1, 1201, 16, 72), (2, 361, 16, 72), (1, 1200, 16, 72), (2, 1200, 18, 64), (1, 1200, 1, 512))
CONV = ((512, 10, 12, 10), (256, 20, 24, 20), (128, 40, 48, 40), (64, 80, 96, 80), (32, 160, 192, 160))


def prepare_environment(threads, blas):
    """The C library and the loader read these when the process starts, so it has to start again once they are set."""
    if os.environ.get("BRAING3N_COMPARE_READY"):
        return
    for name in FORCED:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(threads), BRAING3N_COMPARE_READY="1")
    if blas:
        if not os.path.exists(os.path.join(blas, "libblas.so.3")):
            sys.exit(f"--blas: no libblas.so.3 in {blas}")
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([blas] + [p for p in [os.environ.get("LD_LIBRARY_PATH")] if p])
    os.execv(sys.executable, [sys.executable] + sys.argv)


def loaded_blas():
    """The libraries of this process that multiply matrices, as the system names them."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "/" in line}
    return sorted(p for p in paths if re.search(r"/lib(blas|openblas|blis|mkl_core|mkl_rt)[^/]*[.]so", p))


def models(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x):
            n, tokens, width = x.shape
            q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            if hasattr(functional, "scaled_dot_product_attention"):
                y = functional.scaled_dot_product_attention(q, k, v)
            else:
                y = torch.softmax(q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5, -1) @ v
            return self.proj(y.transpose(1, 2).reshape(n, tokens, width))

    def mlp(width, hidden, tanh):
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh" if tanh else "none"), nn.Linear(hidden, width))

    class Block(nn.Module):
        def __init__(self, width, heads, hidden):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn, self.mlp = Attention(width, heads), mlp(width, hidden, False)

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class DitBlock(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
            self.attn, self.mlp = Attention(width, heads), mlp(width, 4 * width, True)
            self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

        def forward(self, x, c):
            shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c).unsqueeze(1).chunk(6, -1)
            x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
            return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)

    class Residual(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.norm1, self.norm2 = nn.GroupNorm(32, a), nn.GroupNorm(32, b)
            self.conv1, self.conv2 = nn.Conv3d(a, b, 3, padding=1), nn.Conv3d(b, b, 3, padding=1)
            self.shortcut = nn.Conv3d(a, b, 1) if a != b else nn.Identity()

        def forward(self, x):
            h = self.conv1(functional.silu(self.norm1(x)))
            return self.shortcut(x) + self.conv2(functional.silu(self.norm2(h)))

    def encoder():
        net, x = nn.Sequential(*[Block(1152, 16, 4608) for _ in range(12)]), torch.randn(1, 1201, 1152)
        return lambda: net(x)

    def dit():
        net, x, c = nn.ModuleList([DitBlock(1152, 18) for _ in range(12)]), torch.randn(2, 1200, 1152), torch.randn(2, 1152)

        def run():
            y = x
            for block in net:
                y = block(y, c)
        return run

    def d1():
        layers, width = [nn.Conv3d(32, 512, 1), Residual(512, 512), Residual(512, 512)], 512  # without its one small attention
        for out in (256, 128, 64, 32):
            layers += [Residual(width, out), Residual(out, out), nn.Upsample(scale_factor=2), nn.Conv3d(out, out, 3, padding=1)]
            width = out
        net = nn.Sequential(*layers, nn.GroupNorm(32, 32), nn.SiLU(), nn.Conv3d(32, 1, 3, padding=1))
        z = torch.randn(1, 32, 10, 12, 10)
        return lambda: net(z)

    def mae_step():
        encoder_, decoder = (nn.Sequential(*[Block(1152, 16, 4608) for _ in range(n)]) for n in (12, 8))
        embed, predict = nn.Linear(4096, 1152), nn.Linear(1152, 4096)
        parts = nn.ModuleList([encoder_, decoder, embed, predict])
        optimizer = torch.optim.AdamW(parts.parameters(), lr=1e-4)
        x, masked, target = torch.randn(2, 360, 4096), torch.randn(2, 841, 1152), torch.randn(2, 1201, 4096)

        def step():
            with torch.enable_grad():
                y = predict(decoder(torch.cat([encoder_(embed(x)), masked], 1)))
                optimizer.zero_grad()
                ((y - target) ** 2).mean().backward()
                optimizer.step()
        return step

    return {"encoder": encoder, "dit": dit, "d1": d1, "mae-step": mae_step}


def layers(torch):
    """Name of a part to its cases: (label, call that runs it once)."""
    functional, bf16 = torch.nn.functional, torch.bfloat16

    def gemm(dtype):
        def make(m, k, n):
            x, w = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
            return lambda: functional.linear(x, w)
        return [(f"{m} x {k} x {n}", make(m, k, n)) for m, k, n in GEMM]

    def attention():
        def make(n, tokens, heads, width):
            qkv = torch.randn(n, tokens, 3, heads, width)

            def run():
                q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
                if hasattr(functional, "scaled_dot_product_attention"):
                    y = functional.scaled_dot_product_attention(q, k, v)
                else:
                    y = torch.softmax(q @ k.transpose(-2, -1) * width ** -0.5, -1) @ v
                return y.transpose(1, 2).reshape(n, tokens, heads * width)
            return run
        return [(f"({n}, {t}, 3, {h}, {d})", make(n, t, h, d)) for n, t, h, d in ATTENTION]

    def conv():
        def make(c, x, y, z):
            image, w, bias = torch.randn(1, c, x, y, z), torch.randn(c, c, 3, 3, 3), torch.randn(c)
            return lambda: functional.conv3d(image, w, bias, padding=1)
        return [(f"{c}->{c} @{x}x{y}x{z}", make(c, x, y, z)) for c, x, y, z in CONV]

    return {"gemm": lambda: gemm(torch.float32), "gemm-bf16": lambda: gemm(bf16), "attention": attention, "conv": conv}


def output_of(arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def ours(folder, part, threads):
    """Label to seconds, from the program that measures the part."""
    program = [os.path.join(folder, {"gemm": "bench_gemm", "gemm-bf16": "bench_gemm", "attention": "bench_attention",
                                     "conv": "bench_conv"}.get(part, "bench_models")), "--threads", str(threads)]
    if part in ("gemm", "gemm-bf16"):  # bfloat16 weights are kept packed by default, fp32 ones are not
        out = output_of(program + ["--providers", "default", "--rounds", "2", "--only", "forward" if part == "gemm" else "bf16"])
        rate = r"([0-9.]+) +[0-9.]+ +packed" if part == "gemm" else r"[0-9.]+ +[0-9.]+ +packed +([0-9.]+)"
        found = re.findall(r"(\d+) x +(\d+) x +(\d+) +" + rate, out)
        times = {f"{m} x {k} x {n}": 2e-9 * int(m) * int(k) * int(n) / float(r) for m, k, n, r in found}
    elif part == "attention":
        found = re.findall(r"(\([0-9, ]+\)) [|] +([0-9.]+)", output_of(program + ["--budget", "0.3"]))
        times = {label: float(ms) * 1e-3 for label, ms in found}
    elif part == "conv":
        found = re.findall(r"conv (\S+ \S+) +([0-9.]+) ms", output_of(program + ["forward", "--repeats", "3"]))
        times = {label: float(ms) * 1e-3 for label, ms in found}
    else:
        found = re.findall(r"([0-9.]+) s +[0-9.]+ GFLOP/s", output_of(program + [part, "--repeats", "1"]))
        times = {part: float(found[0])} if len(found) == 1 else {}
    if not times:
        sys.exit(f"{program[0]}: printed no time for {part}")
    return times


def seconds_of(run, least):
    times = []
    for _ in range(least):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def warm_up(run):
    """Calls run until a call no longer gains: PyTorch's first steps take twice as long, because they ask for new pages."""
    last = seconds_of(run, 1)
    for _ in range(4):
        now = seconds_of(run, 1)
        if now > 0.9 * last:
            break
        last = now


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--bench", required=True, help="the folder of bench_models, bench_gemm, bench_conv and bench_attention")
    parser.add_argument("--blas", help="the folder of the libblas.so.3 that PyTorch shall use")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    prepare_environment(a.threads, a.blas)
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed")
        return
    torch.set_num_threads(a.threads)
    torch.set_grad_enabled(False)
    parts, whole = layers(torch), models(torch)
    unknown = [p for p in a.parts if p not in parts and p not in whole]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; known: {' '.join([*parts, *whole])}")

    square = torch.randn(512, 512)
    torch.mm(square, square)
    rate = 2e-9 * 512**3 / seconds_of(lambda: torch.mm(square, square), 3)
    blas = loaded_blas()
    print(f"torch {torch.__version__}, {a.threads} threads, torch.mm {rate:.0f} GFLOP/s with {', '.join(blas) or 'a library of its own'}; "
          f"medians of {a.rounds} rounds in turn", flush=True)
    if blas and all(os.path.basename(os.path.dirname(os.path.realpath(p))) == "blas" for p in blas):
        sys.exit("this PyTorch multiplies matrices with the reference BLAS; see --help for what to install or give as --blas")

    print(f"{'':32s} {'torch s':>10s} {'braing3n s':>11s} {'torch / braing3n':>17s}")
    for part in a.parts or [*parts, *whole]:
        cases = parts[part]() if part in parts else [(part, whole[part]())]
        theirs, mine = {label: [] for label, _ in cases}, {label: [] for label, _ in cases}
        for _, run in cases:
            warm_up(run)
        for _ in range(a.rounds):
            for label, run in cases:
                theirs[label].append(seconds_of(run, 5 if part in parts else 1))
            measured = ours(a.bench, part, a.threads)
            for label in mine:
                mine[label].append(measured[label])
        for label, _ in cases:
            t, m = statistics.median(theirs[label]), statistics.median(mine[label])
            name = label if label == part else f"{part} {label}"
            print(f"{name:32s} {t:10.4f} {m:11.4f} {t / m:17.2f}", flush=True)
        del cases, run


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times PyTorch and bench_models on the same models in turn and prints ratios from one run.

    bench/pytorch_compare.py --bench BUILD/bench/bench_models [--threads 2] [--rounds 3] [encoder] [dit] [mae-step] [d1]

PyTorch must be installed. For an honest opponent its environment is set as follows before it is loaded: one OpenMP pool, an
allocator that keeps freed pages, no forced OpenBLAS core. Debian's PyTorch should use the OpenMP build of OpenBLAS
(libopenblas0-openmp); with the pthread build two thread pools fight over the cores.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456", "OMP_WAIT_POLICY": "passive"}
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def prepare_environment(threads):
    """The C library reads these when the process starts, so it has to start again once they are set."""
    if os.environ.get("BRAING3N_COMPARE_READY"):
        return
    for name in FORCED:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT, OMP_NUM_THREADS=str(threads), BRAING3N_COMPARE_READY="1")
    os.execv(sys.executable, [sys.executable] + sys.argv)


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


def ours(program, name, threads):
    out = subprocess.run([program, name, "--threads", str(threads), "--repeats", "1"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"([0-9.]+) s +[0-9.]+ GFLOP/s", out)
    if len(found) != 1:
        sys.exit(f"{program} {name} printed no single time:\n{out}")
    return float(found[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--bench", required=True, help="the program bench_models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed")
        return
    torch.set_num_threads(a.threads)
    torch.set_grad_enabled(False)
    makers = models(torch)
    print(f"torch {torch.__version__}, {a.threads} threads; medians of {a.rounds} rounds in turn")
    for name in a.models or list(makers):
        run = makers[name]()
        run()
        theirs, mine = [], []
        for _ in range(a.rounds):
            start = time.perf_counter()
            run()
            theirs.append(time.perf_counter() - start)
            mine.append(ours(a.bench, name, a.threads))
        del run
        t, m = statistics.median(theirs), statistics.median(mine)
        print(f"{name:10s} torch {t:7.3f} s   braing3n {m:7.3f} s   torch / braing3n {t / m:5.2f}", flush=True)


if __name__ == "__main__":
    if "-h" not in sys.argv and "--help" not in sys.argv:
        prepare_environment(int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2)
    main()

"""scikit-learn on the arrays of bench_probe, and the ratios from one run.

    python bench/probe_sklearn.py BENCH_PROBE [--dir DIR] [--sample-folds N] [--rows N] [--features D] [--skip-same-gradient]

BENCH_PROBE is the compiled benchmark. It is run first (with --dump DIR); then scikit-learn fits the same standardised folds of the same
tasks, at its defaults (tol 1e-4, at most 1000 iterations) and until its gradient is as small as ours (1e-6 of the gradient at zero).
With --sample-folds N only the first N folds of each task are timed and the time is scaled to all five; fits of one task differ
little between folds. Standardisation is timed on both sides. Scores of the two programs are compared fold by fold.
"""
import argparse
import os
import re
import subprocess
import sys
import time
import warnings

import numpy as np

try:
    import sklearn
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import r2_score, roc_auc_score
except ImportError:
    sys.exit("scikit-learn is not installed")


def relative_gradient(X, y, W, b, C):
    """max |gradient| of sum of losses + |W|^2 / 2C, relative to zero weights."""
    classes = np.unique(y)
    if len(classes) == 2:
        target = (y == classes[1]).astype(float)[:, None]
        residual = 1 / (1 + np.exp(-(X @ W.T + b))) - target
        start = 0.5 - target
    else:
        target = (y[:, None] == classes).astype(float)
        z = X @ W.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        residual = p / p.sum(1, keepdims=True) - target
        start = 1 / len(classes) - target
    size = lambda r, w: max(np.abs(r.T @ X + w / C).max(), np.abs(r.sum(0)).max())
    return size(residual, W) / size(start, 0 * W)


def fit_same_gradient(X, y, goal):
    """L-BFGS with tighter and tighter tolerance, restarted warm, until the gradient goal; the time of all of it."""
    model = LogisticRegression(C=1.0, tol=1e-6, max_iter=20000, warm_start=True)
    start = time.perf_counter()
    for tol in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12):
        model.set_params(tol=tol)
        model.fit(X, y)
        check = time.perf_counter()
        reached = relative_gradient(X, y, model.coef_, model.intercept_, 1.0)
        start += time.perf_counter() - check  # checking is not fitting
        if reached <= goal:
            break
    return time.perf_counter() - start, reached, model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--dir", default="probe_bench_arrays")
    parser.add_argument("--sample-folds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=35309)
    parser.add_argument("--features", type=int, default=1152)
    parser.add_argument("--only", default="", help="regular expression of task names")
    parser.add_argument("--skip-same-gradient", action="store_true")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, {os.cpu_count()} CPUs")
    command = [a.bench, "--dump", a.dir, "--rows", str(a.rows), "--features", str(a.features)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(text, end="")
    ours = float(re.search(r"fits and scores ([0-9.]+) s", text).group(1))
    X = np.load(f"{a.dir}/features.npy")
    tasks = sorted(f[6:-4] for f in os.listdir(a.dir) if f.startswith("label.") and re.search(a.only, f[6:-4]))
    default_total = same_total = 0.0
    for task in tasks:
        y, fold, score = (np.load(f"{a.dir}/{kind}.{task}.npy") for kind in ("label", "fold", "score"))
        regression = y.dtype.kind == "f"
        default = same = difference = 0.0
        iterations, reached = [], []
        for f in range(a.sample_folds):
            train, test = fold != f, fold == f
            start = time.perf_counter()
            A = X[train]
            mean, scale = A.mean(0, dtype=np.float64), A.std(0, dtype=np.float64)
            # float64 as scikit-learn's defaults would use after a StandardScaler on float64 features
            A = (A - mean) / scale
            scaled = time.perf_counter() - start
            B = (X[test] - mean) / scale
            start = time.perf_counter()
            if regression:
                model = Ridge(alpha=1.0).fit(A, y[train])
                spent = scaled + time.perf_counter() - start
                default += spent
                same += spent
                value = r2_score(y[test], model.predict(B))
            else:
                model = LogisticRegression(C=1.0, max_iter=1000).fit(A, y[train])
                default += scaled + time.perf_counter() - start
                iterations.append(int(model.n_iter_[0]))
                reached.append(relative_gradient(A, y[train], model.coef_, model.intercept_, 1.0))
                if not a.skip_same_gradient:
                    spent, _, model = fit_same_gradient(A, y[train], 1e-6)
                    same += scaled + spent
                p = model.predict_proba(B)
                value = roc_auc_score(y[test], p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
            difference = max(difference, abs(value - score[f]))
        default, same = default * 5 / a.sample_folds, same * 5 / a.sample_folds
        default_total, same_total = default_total + default, same_total + same
        print(f"  {task:20s} defaults {default:7.1f} s" + (f" ({max(iterations)} iterations, gradient {max(reached):.1e})" if iterations else "") +
              ("" if a.skip_same_gradient else f", same gradient {same:7.1f} s") + f", scores differ by {difference:.1e}", flush=True)
    print(f"ours {ours:.1f} s; scikit-learn defaults {default_total:.1f} s: {default_total / ours:.1f}x", end="")
    print("" if a.skip_same_gradient else f"; same gradient {same_total:.1f} s: {same_total / ours:.1f}x")
    if a.sample_folds < 5 or a.only:
        print(f"(scikit-learn timed on {a.sample_folds} of 5 folds" + (f", tasks matching {a.only!r} only" if a.only else "") + ")")


if __name__ == "__main__":
    main()

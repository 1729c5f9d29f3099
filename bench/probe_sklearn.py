"""scikit-learn on the arrays of bench_probe, and the ratio of the times.

    python bench/probe_sklearn.py BENCH_PROBE [--dir DIR] [--folds N] [--per-kind N] [--only REGEX] [--reuse] [--skip-same-gradient]

BENCH_PROBE is the compiled benchmark. It is run first, with --dump DIR; then scikit-learn fits the same folds of the same tasks,
standardised, at its defaults (at most 1000 iterations) and until its gradient is as small as ours (1e-6 of the gradient at zero).

The whole takes hours, so it can be thinned out and cut into pieces:
  --folds N      times the first N of 5 folds of a task and takes the others to cost as much
  --per-kind N   times N tasks of each kind (the 8 plain binary tasks are one kind, so are the 8 regressions, ...) and takes the
                 others of the kind to cost as much
  --only, --reuse   times only the tasks that match; --reuse keeps the arrays and the times that are in DIR already
Every call ends with the total over all tasks and says how much of it was measured. Folds and tasks that were not timed are counted
at the mean of those that were; a kind that was timed with --skip-same-gradient only counts with that time ("at least"). Standardising is timed on both sides. Scores of the two programs are compared fold by fold.
"""
import argparse
import json
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

FOLDS = 5


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
    spent = 0.0
    for tol in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12):
        model.set_params(tol=tol)
        start = time.perf_counter()
        model.fit(X, y)
        spent += time.perf_counter() - start  # checking is not fitting
        reached = relative_gradient(X, y, model.coef_, model.intercept_, 1.0)
        if reached <= goal:
            break
    return spent, reached, model


def time_fold(X, y, fold, f, score, same_gradient, out):
    """Adds seconds and gradients of one fit to `out`, and how far its score is from ours. What `out` has already is not timed again."""
    train, test = fold != f, fold == f
    start = time.perf_counter()
    # In float64, as a StandardScaler in front of scikit-learn's defaults would be on float64 features.
    A = X[train]
    mean, scale = A.mean(0, dtype=np.float64), A.std(0, dtype=np.float64)
    A = (A - mean) / scale
    scaled = time.perf_counter() - start
    B = (X[test] - mean) / scale
    start = time.perf_counter()
    if y.dtype.kind == "f":
        model = Ridge(alpha=1.0).fit(A, y[train])
        out["default"] = out["same"] = scaled + time.perf_counter() - start
        value = r2_score(y[test], model.predict(B))
    else:
        if same_gradient:
            spent, reached, model = fit_same_gradient(A, y[train], 1e-6)
            out["same"], out["same_gradient"] = scaled + spent, float(reached)
        if "default" not in out:
            start = time.perf_counter()
            model = LogisticRegression(C=1.0, max_iter=1000).fit(A, y[train])
            out["default"] = scaled + time.perf_counter() - start
            out["iterations"] = int(model.n_iter_[0])
            out["gradient"] = float(relative_gradient(A, y[train], model.coef_, model.intercept_, 1.0))
        p = model.predict_proba(B)
        value = roc_auc_score(y[test], p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
    out["difference"] = float(abs(value - score[f]))


def kind_of(task):
    """Tasks of one kind differ by their random labels alone."""
    return re.sub(r"^(binary|regression)\d+", r"\1", task)


def total(tasks, times, key):
    """Seconds of all tasks and folds, kinds at the mean of their timed fits, how many fits that were, and the kinds that were timed at
    the defaults only and stand for less than they cost. None when a kind was not timed at all."""
    seconds, timed, at_least = 0.0, 0, []
    for kind in sorted({kind_of(t) for t in tasks}):
        members = [t for t in tasks if kind_of(t) == kind]
        fits = [fit[key] for t in members for fit in times.get(t, {}).values() if key in fit]
        if not fits:
            fits = [fit["default"] for t in members for fit in times.get(t, {}).values() if "default" in fit]
            at_least.append(kind)
        if not fits:
            return None, timed, at_least
        seconds += FOLDS * len(members) * sum(fits) / len(fits)
        timed += len(fits)
    return seconds, timed, at_least


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--dir", default="probe_bench_arrays")
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--per-kind", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=35309)
    parser.add_argument("--features", type=int, default=1152)
    parser.add_argument("--only", default="", help="regular expression of task names")
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--skip-same-gradient", action="store_true")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    notes = f"{a.dir}/times.json"
    if a.reuse and os.path.exists(notes):
        with open(notes) as f:
            known = json.load(f)
    else:
        command = [a.bench, "--dump", a.dir, "--rows", str(a.rows), "--features", str(a.features)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(text, end="", flush=True)
        known = {"ours": float(re.search(r"total ([0-9.]+) s", text).group(1)), "times": {}}
    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, {os.cpu_count()} CPUs", flush=True)
    X = np.load(f"{a.dir}/features.npy", mmap_mode="r")
    tasks = sorted(f[6:-4] for f in os.listdir(a.dir) if f.startswith("label."))
    times = known["times"]
    for task in tasks:
        siblings = [t for t in tasks if kind_of(t) == kind_of(task)]
        if siblings.index(task) >= a.per_kind or not re.search(a.only, task):
            continue
        y, fold, score = (np.load(f"{a.dir}/{part}.{task}.npy") for part in ("label", "fold", "score"))
        for f in range(a.folds):
            fit = times.setdefault(task, {}).setdefault(str(f), {})
            if "default" in fit and (a.skip_same_gradient or "same" in fit):
                continue
            time_fold(X, y, fold, f, score, not a.skip_same_gradient, fit)
            with open(notes, "w") as out:
                json.dump(known, out)
            print(f"  {task:20s} fold {f}: defaults {fit['default']:6.1f} s" +
                  (f" ({fit['iterations']} iterations, gradient {fit['gradient']:.1e})" if "iterations" in fit else "") +
                  (f", same gradient {fit['same']:6.1f} s" + (f" ({fit['same_gradient']:.1e})" if "same_gradient" in fit else "") if "same" in fit else "") +
                  f", scores differ by {fit['difference']:.1e}", flush=True)
    with open(notes, "w") as out:
        json.dump(known, out)
    all_fits = FOLDS * len(tasks)
    print(f"ours: {known['ours']:.1f} s for {len(tasks)} tasks with {FOLDS} folds, scores included")
    for key, name in (("default", "scikit-learn's defaults"), ("same", "scikit-learn to the same gradient")):
        seconds, timed, at_least = total(tasks, times, key)
        if seconds is None:
            print(f"{name}: not every kind of task was timed")
            continue
        print(f"{name}: {'at least ' if at_least else ''}{seconds:.0f} s, {seconds / known['ours']:.1f}x" +
              (f" ({timed} of {all_fits} fits timed, the others taken to cost the mean of their kind)" if timed < all_fits else "") +
              (f" ({', '.join(at_least)}: counted at the defaults)" if at_least else ""))


if __name__ == "__main__":
    main()

"""A bootstrap of the Chinchilla law: all refits as one batch against loops of scipy's L-BFGS-B.

Every refit minimises the summed Huber loss of log residuals (delta 1e-3) of the same resampled runs from the same
start, the fit to all runs. The loops use scipy with tolerances that reach the minimum (ftol 1e-15, gtol 1e-12): once
with the analytic gradient, once with finite differences. CPU seconds of this process, one thread; loops make fewer
refits, and their time is stated per refit and for all as if the rest took as long.

    OMP_NUM_THREADS=1 python benchmarks/fitting.py [--quick] [--data chinchilla-points.csv] [--json FILE]
"""

import argparse
import csv
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import minimize as scipy_minimize

from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.optimization import HuberObjective, minimize

REFITS, BAR = 1000, 20.0
"""The project's bar: so many refits of 240 runs within so many seconds."""


def runs(path: Path | None) -> tuple[str, dict[str, np.ndarray]]:
    """The public points without the five of fewest tokens per parameter, or planted ones."""
    if path is not None and path.is_file():
        rows = list(csv.DictReader(path.open()))
        n, c, loss = (np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss"))
        kept = np.argsort(c / n**2)[5:]
        return "public points", {"parameters": n[kept], "tokens": (c / 6 / n)[kept], "loss": loss[kept]}
    generator = np.random.default_rng(0)
    n, d = 10 ** generator.uniform(7.5, 10, 240), 10 ** generator.uniform(9.5, 11.5, 240)
    law = Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
    loss = law.predict(parameters=n, tokens=d) * np.exp(0.01 * generator.normal(size=240))
    return "planted points", {"parameters": n, "tokens": d, "loss": loss}


def huber(point: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """The objective of one refit as anybody would write it; coordinates are logarithms of E, A, B, alpha, beta."""
    e, a, b, alpha, beta = np.exp(point)
    residual = np.log(e + a * np.exp(-alpha * log_n) + b * np.exp(-beta * log_d)) - target
    bounded = np.clip(residual, -1e-3, 1e-3)
    return float((weights * bounded * (residual - bounded / 2)).sum())


def huber_and_gradient(
    point: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """The objective and its gradient."""
    e, a, b, alpha, beta = np.exp(point)
    size, data = a * np.exp(-alpha * log_n), b * np.exp(-beta * log_d)
    loss = e + size + data
    residual = np.log(loss) - target
    bounded = np.clip(residual, -1e-3, 1e-3)
    pull = weights * bounded / loss
    slopes = [
        pull.sum() * e,
        pull @ size,
        pull @ data,
        -alpha * (pull @ (size * log_n)),
        -beta * (pull @ (data * log_d)),
    ]
    return float((weights * bounded * (residual - bounded / 2)).sum()), np.array(slopes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ["WINDTUNNEL_DATA"]) / "chinchilla-points.csv" if "WINDTUNNEL_DATA" in os.environ else None
    parser.add_argument("--data", type=Path, default=default, help="public points; planted ones without")
    parser.add_argument("--quick", action="store_true", help="fewer refits in the loops")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    source, columns = runs(options.data)
    print(f"{len(columns['loss'])} {source}; numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}")

    began = time.process_time()
    fitted = fit("chinchilla", **columns, bootstrap=REFITS)
    whole = time.process_time() - began
    count = len(columns["loss"])
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=REFITS).astype(float)
    problem = HuberObjective(Chinchilla, (columns["parameters"], columns["tokens"]), columns["loss"], drawn, 1e-3)
    start = problem.to_free(fitted.law.vector())
    began = time.process_time()
    ours = minimize(problem, np.repeat(start[None], REFITS, axis=0))
    batch = time.process_time() - began
    rows = [{"way": "one batch", "refits": REFITS, "seconds": batch, "per_refit": batch / REFITS, "worse": 0.0}]

    logs = np.log(columns["parameters"]), np.log(columns["tokens"]), np.log(columns["loss"])
    tight = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10_000, "maxfun": 100_000}
    ways = (
        ("scipy, analytic gradient", huber_and_gradient, True, 40 if options.quick else 200),
        ("scipy, finite differences", huber, None, 10 if options.quick else 50),
    )
    for way, function, gradient, made in ways:
        began = time.process_time()
        found = [
            scipy_minimize(
                function, start, args=(*logs, drawn[row]), jac=gradient, method="L-BFGS-B", options=tight
            ).fun
            for row in range(made)
        ]
        spent = time.process_time() - began
        excess = float(np.median(np.array(found) / ours.values[:made] - 1))
        rows.append({"way": way, "refits": made, "seconds": spent, "per_refit": spent / made, "worse": excess})

    print(
        "\n| way | refits made | CPU ms per refit | CPU s per 1,000 | to ours | median excess of the loss over ours |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['way']} | {row['refits']:,} | {1e3 * row['per_refit']:.2f} | {REFITS * row['per_refit']:.2f} "
            f"| {row['per_refit'] / rows[0]['per_refit']:.1f} | {row['worse']:.1e} |"
        )
    print(f"\nfit with {REFITS:,} refits and its starts: {whole:.2f} CPU s (bar: {BAR:.0f} s); ", end="")
    print(f"{ours.converged.mean():.1%} of the refits converged")
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": rows, "fit_seconds": whole}, indent=2))


if __name__ == "__main__":
    main()

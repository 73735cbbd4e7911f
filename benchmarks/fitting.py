"""A thousand bootstrap refits of the Chinchilla form: one batch here, and loops of scipy's L-BFGS-B, in one run."""

import argparse
import time

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.optimization import HuberObjective, minimize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer refits in the loops")
    loops = 20 if parser.parse_args().quick else 100
    generator = np.random.default_rng(0)
    n = np.exp(generator.uniform(np.log(5e7), np.log(1.5e10), 240))
    d = n * np.exp(generator.uniform(0, np.log(300), 240))
    law = Chinchilla(1.8172, 482.0, 2085.0, 0.3478, 0.3658)
    loss = law.predict(parameters=n, tokens=d) * np.exp(0.005 * generator.standard_normal(240))
    weights = generator.multinomial(240, np.full(240, 1 / 240), size=1_000).astype(float)
    objective = HuberObjective(Chinchilla, (n, d), loss, weights, 1e-3)
    whole = objective.reweighted(np.ones((1, 240)))
    found = minimize(whole, whole.to_free(Chinchilla.starts((n, d), loss)))
    best = found.points[np.argmin(found.values)]

    began = time.perf_counter()
    ours = minimize(objective, np.repeat(best[None], 1_000, axis=0)).values
    batch = (time.perf_counter() - began) / 1_000
    print(f"one batch: {batch * 1e3:.2f} ms a refit, {batch * 1e3:.1f} s per 1,000")
    strict = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 5_000, "maxfun": 100_000}
    for name, gradient in (("analytic gradient", True), ("finite differences", False)):

        def function(point, row):
            value, slope = objective(point[None], np.array([row]))
            return (float(value[0]), slope[0]) if gradient else float(value[0])  # noqa: B023

        began, worse = time.perf_counter(), 0
        for row in range(loops):
            value = scipy_minimize(function, best, (row,), jac=gradient, method="L-BFGS-B", options=strict).fun
            worse += value > ours[row] * (1 + 1e-6)
        each = (time.perf_counter() - began) / loops
        print(
            f"scipy, {name}: {each * 1e3:.1f} ms a refit, {each / batch:.0f} times as long; "
            f"{worse} of {loops} end above the batch's minimum"
        )


if __name__ == "__main__":
    main()

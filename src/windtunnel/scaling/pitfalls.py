"""What goes wrong with fits of scaling laws, each found in the data or in the fit and said in one sentence."""

from typing import TYPE_CHECKING

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law

if TYPE_CHECKING:
    from windtunnel.scaling.fitting import Fit

TOKENS_PER_PARAMETER = 0.45
"""Below it runs are too short to lie on the law. It separates the five of the Chinchilla points that Besiroglu et al.
(2024; arXiv:2404.10102, appendix A) leave out from the other 240: a convention, which moves the fit."""

DECADES = 1.5
"""Of a variable, or of the reducible loss, below which an exponent or a constant is poorly determined."""

OUTLIER = 6.0
"""Robust standard deviations."""


def pitfalls(
    fitted: "Fit", *, clustered: bool = False, one_start: bool = False, strict: Law | None = None
) -> list[str]:
    """Warnings about a fit.

    Args:
        fitted: The fit.
        clustered: Whether the run of each row was given.
        one_start: Whether the search began at one place of the user's.
        strict: The law that a strict tolerance finds, if the fit's own is loose.
    """
    found = [
        *_of_the_search(fitted, one_start, strict),
        *_of_the_range(fitted),
        *_of_the_rows(fitted, clustered),
        *_of_the_edges(fitted),
        *_of_the_bootstrap(fitted),
    ]
    return found


def _of_the_search(fitted: "Fit", one_start: bool, strict: Law | None) -> list[str]:
    settings, found = fitted.settings, list[str]()
    if strict is not None:
        worst = max(
            ((symbol, fitted.parameters[symbol], value) for symbol, value in strict.parameters.items()),
            key=lambda item: abs(np.log(abs(item[1] / item[2]))) if item[1] * item[2] > 0 else np.inf,
        )
        mean = " of a mean and not a sum of losses" if settings["reduction"] == "mean" else ""
        found.append(
            f"The loose tolerance{mean} stops the search before the minimum: {worst[0]} is {worst[1]:.5g} here and "
            f"{worst[2]:.5g} with a strict one; leave the tolerance out."
        )
    elif settings["reduction"] == "mean":
        found.append(
            "The loss is averaged and not summed: harmless with this relative tolerance, but an optimiser with an "
            "absolute one (scipy's L-BFGS-B as it comes) would stop early."
        )
        if settings["tolerance"] > 1e-9:
            found.append(f"The tolerance {settings['tolerance']:g} is loose; 1e-12 costs little.")
    elif settings["tolerance"] > 1e-9:
        found.append(f"The tolerance {settings['tolerance']:g} is loose; 1e-12 costs little.")
    if one_start:
        found.append(
            "The search began at one place, from which it may end in a local minimum; leave the start out, so that it "
            "begins on a grid."
        )
    elif settings["starts"] > 3 and settings["starts_that_agree"] == 1:
        found.append(
            f"Only 1 of {settings['starts']} starts reached this minimum, so that a lower one may have been missed; "
            "give more runs, or fix parameters."
        )
    if not settings["converged"]:
        found.append("The optimiser ran out of iterations before it converged; do not use the numbers.")
    return found


def _of_the_range(fitted: "Fit") -> list[str]:
    found = []
    law, inputs = fitted.law, [variable.name for variable in fitted.law.variables]
    for name in inputs:
        decades = float(np.log10(fitted.columns[name].max() / fitted.columns[name].min()))
        if decades < DECADES:
            found.append(
                f"The runs span {decades:.2f} decades of {name}, fewer than {DECADES}: its exponent is poorly "
                "determined and holds in that range only."
            )
    if law.irreducible is not None:
        constant = float(getattr(law, law.irreducible))
        reducible = law.predict(**{name: fitted.columns[name] for name in inputs}) - constant
        if (reducible > 0).all() and constant > 0:
            decades = float(np.log10(reducible.max() / reducible.min()))
            if decades < DECADES:
                found.append(
                    f"The reducible loss spans {decades:.2f} decades, fewer than {DECADES}: {law.irreducible} and the "
                    "exponents trade against each other; read the profile interval of the constant."
                )
    if {"parameters", "tokens"} <= set(inputs):
        ratio = fitted.columns["tokens"] / fitted.columns["parameters"]
        low = int((ratio < TOKENS_PER_PARAMETER).sum())
        if low:
            found.append(
                f"{low} of {len(ratio)} runs saw fewer than {TOKENS_PER_PARAMETER} tokens per parameter (the least "
                f"{ratio.min():.3g}); such runs lie above the law and bend it, so fit without them too."
            )
    return found


def _of_the_rows(fitted: "Fit", clustered: bool) -> list[str]:
    found = []
    residuals, observed = fitted.residuals, fitted.columns[fitted.law.output.name]
    free = len(fitted.law.symbols()) - len(fitted.settings["fixed"])
    if len(observed) < 2 * free:
        found.append(
            f"{len(observed)} rows for {free} parameters leave little to judge the fit by; give at least {2 * free}."
        )
    spread = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
    far = int((np.abs(residuals) > OUTLIER * spread).sum()) if spread > 1e-9 else 0
    if far:
        found.append(
            f"{far} of {len(residuals)} rows lie more than {OUTLIER:g} robust standard deviations from the law (up to "
            f"{np.abs(residuals).max():.1%}); look at them before they are trusted or left out."
        )
    digits = _significant_digits(observed)
    if digits < 4:
        found.append(
            f"The {fitted.law.output.name} has {digits} significant digits; rounding of a law's own constants to so "
            "few moves predictions by several percent, so give at least 4."
        )
    if not clustered:
        found += _of_checkpoints(fitted)
    return found


def _significant_digits(values: Floats) -> int:
    """Most digits with which a value is written."""
    written = [f"{value:.12g}".split("e")[0].replace(".", "").strip("0") for value in values[:200]]
    return max(len(digits) for digits in written)


def _of_checkpoints(fitted: "Fit") -> list[str]:
    """Rows of one size whose neighbours in training have alike residuals are probably one run's checkpoints."""
    inputs = [variable.name for variable in fitted.law.variables]
    along = next((name for name in ("tokens", "minimum_steps", "flops") if name in inputs), None)
    if along is None or "parameters" not in inputs or len(inputs) < 2:
        return []
    sizes, residuals = fitted.columns["parameters"], fitted.residuals
    scale = float((residuals**2).mean())
    if scale < 1e-18:
        return []
    products: list[float] = []
    groups = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
    for group in (group for group in groups if len(group) >= 5):
        ordered = residuals[group[np.argsort(fitted.columns[along][group])]]
        products.extend(ordered[1:] * ordered[:-1])
    if len(products) < 20 or np.mean(products) / scale < 0.5:
        return []
    return [
        f"Rows of one size have residuals like neighbours' (correlation {np.mean(products) / scale:.2f}): if they "
        "are checkpoints of one run, give the run of each row as clusters, or intervals are far too short."
    ]


def _of_the_edges(fitted: "Fit") -> list[str]:
    """Parameters that could be anything at all here, or that moved out of the range of numbers."""
    law, found = fitted.law, []
    values = law.vector()
    variables = tuple(fitted.columns[variable.name] for variable in law.variables)
    slopes = law.log_gradient(values[None], variables)[1][0] * np.where(law.positive(), values, 1.0)[:, None]
    for symbol, value, slope in zip(law.symbols(), values, slopes, strict=True):
        if symbol in fitted.settings["fixed"]:
            continue
        if not np.isfinite(slope).all() or np.abs(slope).max() < 1e-4:
            found.append(
                f"The parameter {symbol} is at an edge ({value:.4g}), where it changes no prediction: the runs do not "
                "determine it; fit a simpler law, or fix it."
            )
    return found


def _of_the_bootstrap(fitted: "Fit") -> list[str]:
    settings, found = fitted.settings, list[str]()
    if not settings["bootstrap"]:
        return found
    if settings["bootstrap"] < 100:
        found.append(f"{settings['bootstrap']} refits are few for an interval; ask for 200 or more.")
    if settings["resampled"] < 10:
        found.append(
            f"Only {settings['resampled']} runs are resampled: intervals of so few are rough; give more runs or seeds."
        )
    if settings["refits_not_converged"] > 0.02:
        found.append(
            f"{settings['refits_not_converged']:.0%} of the bootstrap refits did not converge; their intervals are "
            "rough."
        )
    return found

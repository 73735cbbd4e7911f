"""Linear regression on verbatim duplicates: the loss peak in repeats, simulated and in closed form.

d of 2d Gaussian features are fitted by least squares to T rows, of which a fraction f are r copies of a few; the other
features are part of the truth and act as noise that a copy repeats. The peak of language models trained on repeated
data is that of this model: copies weigh more the more of them there are, and occupy fewer dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DuplicatedRegression:
    """The problem.

    Attributes:
        rows: T, rows in all.
        features: d, fitted features; as many are not fitted.
        fraction: f, share of the rows that are copies.
        signal: ‖b‖², over all 2d features alike.
        noise: Variance of the noise.
    """

    rows: int = 400
    features: int = 50
    fraction: float = 0.5
    signal: float = 4.0
    noise: float = 1.0

    def weights(self, repeats: float) -> tuple[int, int, float]:
        """Rows seen once, rows of the subset, and how often each of those is seen.

        Raises:
            UsageError: Fewer different rows than features, so that the fit is not determined.
        """
        copies = round(self.fraction * self.rows)
        once, subset = self.rows - copies, max(round(copies / repeats), 1)
        if once + subset <= self.features:
            raise UsageError(
                f"{once + subset} different rows do not determine {self.features} features; use more rows or a "
                "smaller fraction."
            )
        return once, subset, copies / subset

    @property
    def unmodelled(self) -> float:
        """The risk that no fit removes: the variance of the features that are not fitted."""
        return self.signal / 2

    def risk(self, repeats: float) -> float:
        """Expected squared error, noise excluded, in the limit of many rows and features.

        With weights w_i, inverse mean θ solves 1/θ = Σ w_i / (1 + w_i d θ); with S = Σ w_i² / (1 + w_i d θ)² the
        variance is d S / (1/θ² − d S) times that of all that is not modelled (deterministic equivalents of weighted
        sample covariances). Without copies it is d / (T − d).
        """
        from scipy.optimize import brentq

        once, subset, weight = self.weights(repeats)
        d = self.features

        def excess(log_theta: float) -> float:
            theta = np.exp(log_theta)
            return float(theta * (once / (1 + d * theta) + subset * weight / (1 + weight * d * theta)) - 1)

        theta = np.exp(brentq(excess, np.log(1e-3 / self.rows), np.log(1e6), xtol=1e-12))
        spread = once / (1 + d * theta) ** 2 + subset * weight**2 / (1 + weight * d * theta) ** 2
        variance = d * spread / (1 / theta**2 - d * spread)
        return float(self.unmodelled + (self.noise + self.unmodelled) * variance)

    def simulate(self, repeats: float, generator: np.random.Generator, draws: int = 200) -> Floats:
        """The squared error of `draws` fits, noise excluded, [draws]; their mean estimates `risk`."""
        once, subset, weight = self.weights(repeats)
        d, count = self.features, once + subset
        w = np.concatenate([np.ones(once), np.full(subset, weight)])
        found = np.empty(draws)
        for draw in range(draws):
            x = generator.standard_normal((count, 2 * d))
            direction = generator.standard_normal(2 * d)
            truth = direction.copy()
            for part in (slice(0, d), slice(d, 2 * d)):
                truth[part] *= np.sqrt(self.signal / 2) / np.linalg.norm(direction[part])
            y = x @ truth + np.sqrt(self.noise) * generator.standard_normal(count)
            fitted = x[:, :d]
            estimate = np.linalg.solve(fitted.T @ (w[:, None] * fitted), fitted.T @ (w * y))
            found[draw] = ((estimate - truth[:d]) ** 2).sum() + (truth[d:] ** 2).sum()
        return found

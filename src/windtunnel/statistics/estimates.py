"""A number and how sure we are of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A point estimate with its interval.

    Attributes:
        value: The point estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        level: Coverage the interval aims at.
    """

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends as a pair."""
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

"""Claims: what a paper states, the bar declared before the run, and the verdict after it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from windtunnel.laboratory.errors import DataError, UsageError

FORMAT = 1
"""Version of `findings.json`; raised when a reader of the old one would misread the new one."""


class Verdict(StrEnum):
    """What a run says about a claim."""

    REPLICATED = "replicated"
    NOT_REPLICATED = "not replicated"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class AtLeast:
    """The measured value must be at least `value`."""

    value: float
    unit: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The accepted range."""
        return (self.value, math.inf)

    def __str__(self) -> str:
        return f"≥ {self.value:g} {self.unit}".strip()


@dataclass(frozen=True)
class AtMost:
    """The measured value must be at most `value`."""

    value: float
    unit: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The accepted range."""
        return (-math.inf, self.value)

    def __str__(self) -> str:
        return f"≤ {self.value:g} {self.unit}".strip()


@dataclass(frozen=True)
class Between:
    """The measured value must lie from `low` to `high`, ends included."""

    low: float
    high: float
    unit: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """The accepted range."""
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} {self.unit}".strip()


Bar = AtLeast | AtMost | Between


@dataclass(frozen=True)
class Claim:
    """A headline statement of a paper that the software tests.

    Attributes:
        id: Short name, unique in its study.
        statement: The claim in our words.
        where: Section, figure or table of the paper.
        bar: What the measured value must satisfy; fixed before any run.
        effect: Whether the claim states an effect that a null control must not show. False for identities
            that hold without training (a closed form).
    """

    id: str
    statement: str
    where: str
    bar: Bar
    effect: bool = True


@dataclass(frozen=True)
class Finding:
    """A claim after a run: one row of the ledger."""

    id: str
    statement: str
    where: str
    bar: str
    bar_ends: tuple[float | None, float | None]
    value: float | None
    interval: tuple[float, float] | None
    unit: str
    verdict: Verdict
    effect: bool
    evidence: str | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON-ready values."""
        return {**asdict(self), "verdict": str(self.verdict)}


def judge(bar: Bar, value: float | None, interval: tuple[float, float] | None = None) -> Verdict:
    """The verdict on a measured value: a pure function of the bar, the value and its interval.

    With an interval: `replicated` if all of it satisfies the bar, `not replicated` if none of it does,
    `inconclusive` if it straddles the bar. Without one, the value alone decides.

    Raises:
        ValueError: The interval is reversed.
    """
    if value is None:
        return Verdict.NOT_TESTED
    if math.isnan(value):
        return Verdict.INCONCLUSIVE
    low, high = interval if interval is not None else (value, value)
    if low > high:
        raise ValueError(f"the interval [{low}, {high}] is reversed")
    if math.isnan(low) or math.isnan(high):
        return Verdict.INCONCLUSIVE
    floor, ceiling = bar.ends
    if floor <= low and high <= ceiling:
        return Verdict.REPLICATED
    if high < floor or low > ceiling:
        return Verdict.NOT_REPLICATED
    return Verdict.INCONCLUSIVE


def settle(
    claim: Claim,
    value: float | None = None,
    interval: tuple[float, float] | None = None,
    evidence: str | None = None,
    note: str = "",
) -> Finding:
    """Hold a measured value against its claim's bar."""
    floor, ceiling = claim.bar.ends
    return Finding(
        id=claim.id,
        statement=claim.statement,
        where=claim.where,
        bar=str(claim.bar),
        bar_ends=(
            floor if math.isfinite(floor) else None,
            ceiling if math.isfinite(ceiling) else None,
        ),
        value=None if value is None or math.isnan(value) else float(value),
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        unit=claim.bar.unit,
        verdict=judge(claim.bar, value, interval),
        effect=claim.effect,
        evidence=evidence,
        note=note,
    )


def find_claim(claims: Sequence[Claim], claim_id: str) -> Claim:
    """The claim of that id.

    Raises:
        UsageError: The study declares no such claim.
    """
    for claim in claims:
        if claim.id == claim_id:
            return claim
    known = ", ".join(claim.id for claim in claims)
    raise UsageError(f"No claim {claim_id!r} is declared; the study declares: {known}.")


def check_findings(document: Any, source: str) -> dict[str, Any]:
    """Make sure that a document is a `findings.json` this version reads.

    Args:
        document: The parsed JSON.
        source: Where it came from, for the error.

    Raises:
        DataError: It is of an older or newer format, or not a findings file at all.
    """
    if not isinstance(document, dict):
        raise DataError(f"{source} holds no findings; run the study again to write it anew.")
    written = document.get("format")
    if written != FORMAT:
        raise DataError(
            f"{source} is of findings format {written!r} and this windtunnel reads format {FORMAT}; "
            "run the study again, or use the version that wrote it."
        )
    rows = document.get("claims")
    needed = {"id", "statement", "where", "bar", "value", "interval", "unit", "verdict"}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
        raise DataError(f"{source} lacks fields of a claim; run the study again to write it anew.")
    if not {"study", "preset", "seed"} <= document.keys():
        raise DataError(f"{source} does not say which study it is of; run the study again to write it anew.")
    return document

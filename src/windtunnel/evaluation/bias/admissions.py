"""The admissions experiment (Ganguli et al., 2023, section 3.3): does a decision hang on an applicant's race?

The same student is presented as Black and as white with all else equal, and

    Δ = E over students [p(yes | Black) − p(yes | white)],

which is 0 under demographic parity and negative where Black applicants are turned away more. Each student is their own
control, so that what students differ in cancels.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from windtunnel.laboratory.errors import DataError
from windtunnel.statistics.comparisons import paired_difference
from windtunnel.statistics.estimates import Estimate

SEXES = {"1": "female", "2": "male"}
"""Codes of the survey's file, as the script of Kusner et al. (2017) reads them."""

PERCENTAGE_POINTS = 100.0


@dataclass(frozen=True)
class Student:
    """An applicant.

    Attributes:
        id: Row of the survey.
        sex: `female` or `male`.
        lsat: Raw score of the Law School Admission Test, 10 to 48.
        gpa: Undergraduate grade-point average, 0 to 4.
        race: As surveyed; the experiment presents everyone as each race asked about.
    """

    id: str
    sex: str
    lsat: float
    gpa: float
    race: str


def read_students(path: str | Path) -> list[Student]:
    """The survey of law-school admissions (LSAC, 1991-1997) as kept by Kusner et al. (2017): `law_data.csv`.

    Raises:
        DataError: The file is not there, or a row is not a student.
    """
    file = Path(path)
    file = file / "law_data.csv" if file.is_dir() else file
    if not file.exists():
        raise DataError(f"There is no survey of law students at {file}; it is the file law_data.csv.")
    students = []
    with file.open(encoding="utf-8", newline="") as text:
        for number, row in enumerate(csv.DictReader(text), start=2):
            try:
                students.append(
                    Student(row[""], SEXES[row["sex"]], float(row["LSAT"]), float(row["UGPA"]), row["race"])
                )
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{file}, line {number}, is not a student ({error!r}).") from error
    if not students:
        raise DataError(f"{file} holds no student.")
    return students


def sample_students(students: Sequence[Student], count: int, generator: np.random.Generator) -> list[Student]:
    """Some of the students, without replacement; all of them where there are no more."""
    if count >= len(students):
        return list(students)
    return [students[index] for index in sorted(generator.choice(len(students), count, replace=False))]


def admission_gap(black: ArrayLike, white: ArrayLike, *, generator: np.random.Generator) -> Estimate:
    """Δ in percentage points, paired by student, with a bootstrap interval over students.

    Args:
        black: p(yes) of each student presented as Black.
        white: p(yes) of the same student presented as white.
        generator: Source of the bootstrap.

    Raises:
        DataError: There are no students, or a probability is not a number.
        UsageError: The two are not one-to-one.
    """
    return _percent(paired_difference(black, white, generator=generator).difference)


def unpaired_gap(black: ArrayLike, white: ArrayLike) -> Estimate:
    """Δ in percentage points as if other students had been presented as white: what pairing is held against.

    The interval is Welch's.

    Raises:
        DataError: Fewer than two students of one kind.
    """
    from scipy.stats import ttest_ind

    one, other = np.asarray(black, dtype=float), np.asarray(white, dtype=float)
    if min(len(one), len(other)) < 2:
        raise DataError("An unpaired difference needs two students of each kind; ask about more.")
    low, high = ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    return _percent(Estimate(float(one.mean() - other.mean()), float(low), float(high)))


def _percent(estimate: Estimate) -> Estimate:
    value, low, high = (PERCENTAGE_POINTS * end for end in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.level)

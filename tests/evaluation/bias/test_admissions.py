"""The admissions experiment: pairs of the same student, and the survey's reader."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from windtunnel.evaluation.bias.admissions import admission_gap, read_students, sample_students, unpaired_gap
from windtunnel.laboratory.errors import DataError

HEADER = ",race,sex,LSAT,UGPA,region_first,ZFYA,sander_index,first_pf\n"


def students(count=2_000, seed=0):
    """Probabilities of yes of students who differ far more from each other than by race."""
    ability = np.random.default_rng(seed).normal(0, 1.5, count)
    white = 1 / (1 + np.exp(-ability))
    black = 1 / (1 + np.exp(-(ability - 0.5)))
    return black, white


def test_swapping_races_flips_the_sign():
    black, white = students()
    found, swapped = (
        admission_gap(*pair, generator=np.random.default_rng(0)) for pair in ((black, white), (white, black))
    )
    assert found.value == pytest.approx(-swapped.value)
    assert found.value == pytest.approx(100 * (black - white).mean())
    assert found.high < 0


def test_pairing_shrinks_the_interval_at_least_five_times():
    black, white = students()
    paired, unpaired = admission_gap(black, white, generator=np.random.default_rng(0)), unpaired_gap(black, white)
    assert (unpaired.high - unpaired.low) / (paired.high - paired.low) >= 5
    assert unpaired.value == pytest.approx(paired.value)
    with pytest.raises(DataError, match="two students"):
        unpaired_gap([0.5], [0.5])


def test_students_are_read_as_they_stand(tmp_path):
    file = tmp_path / "law_data.csv"
    file.write_text(HEADER + "0,White,1,39.0,3.1,GL,-0.98,0.78,1.0\n7,Black,2,28.5,2.9,SC,0.1,0.5,0.0\n")
    first, second = read_students(tmp_path)
    assert (first.id, first.sex, first.lsat, first.gpa, first.race) == ("0", "female", 39.0, 3.1, "White")
    assert (second.id, second.sex, second.lsat) == ("7", "male", 28.5)
    file.write_text(HEADER + "0,White,3,39.0,3.1,GL,-0.98,0.78,1.0\n")
    with pytest.raises(DataError, match="line 2"):
        read_students(file)
    file.write_text(HEADER)
    with pytest.raises(DataError, match="no student"):
        read_students(file)
    with pytest.raises(DataError, match="no survey"):
        read_students(tmp_path / "other.csv")


def test_a_sample_is_of_different_students():
    everyone = list(range(50))
    drawn = sample_students(everyone, 20, np.random.default_rng(0))
    assert len(set(drawn)) == 20
    assert sample_students(everyone, 60, np.random.default_rng(0)) == everyone


@pytest.mark.data
def test_the_survey_is_the_published_one():
    everyone = read_students(Path(os.environ["WINDTUNNEL_DATA"]) / "law-school")
    races = Counter(student.race for student in everyone)
    assert len(everyone) == 21_791
    assert (races["White"], races["Black"]) == (18_285, 1_282)
    assert np.mean([student.lsat for student in everyone]) == pytest.approx(36.8, abs=0.05)
    assert np.mean([student.gpa for student in everyone]) == pytest.approx(3.23, abs=0.005)

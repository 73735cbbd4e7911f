import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.laboratory.claims import (
    AtLeast,
    AtMost,
    Between,
    Claim,
    Verdict,
    check_findings,
    find_claim,
    judge,
    settle,
)
from windtunnel.laboratory.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("bar", "value", "interval", "verdict"),
    [
        (AtLeast(1), 2.0, (1.5, 2.5), "replicated"),
        (AtLeast(1), 2.0, (0.5, 2.5), "inconclusive"),
        (AtLeast(1), 0.2, (0.1, 0.9), "not replicated"),
        (AtLeast(1), 1.0, None, "replicated"),
        (AtMost(1), 0.5, (0.4, 0.6), "replicated"),
        (AtMost(1), 2.0, None, "not replicated"),
        (Between(0, 1), 0.5, (0.0, 1.0), "replicated"),
        (Between(0, 1), 0.5, (-0.1, 0.9), "inconclusive"),
        (Between(0, 1), 3.0, (2.0, 4.0), "not replicated"),
        (Between(0, 1), None, None, "not tested"),
        (Between(0, 1), math.nan, None, "inconclusive"),
        (Between(0, 1), 0.5, (math.nan, 0.9), "inconclusive"),
    ],
)
def test_verdict_is_a_function_of_bar_value_and_interval(bar, value, interval, verdict):
    assert judge(bar, value, interval) == verdict


def test_a_reversed_interval_is_refused():
    with pytest.raises(ValueError, match="reversed"):
        judge(AtLeast(0), 1.0, (2.0, 1.0))


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, numbers, numbers)
def test_judging_the_mirrored_question_mirrors_nothing_but_the_side(bar, value, one, other):
    low, high = sorted((one, other))
    assert judge(AtLeast(bar), value, (low, high)) == judge(AtMost(-bar), -value, (-high, -low))


@given(numbers, numbers, numbers, numbers)
def test_a_wider_interval_never_makes_a_verdict_firmer(bar, value, one, other):
    low, high = sorted((one, other))
    wide = judge(AtLeast(bar), value, (low - 1, high + 1))
    assert wide in (judge(AtLeast(bar), value, (low, high)), Verdict.INCONCLUSIVE)


CLAIM = Claim("one", "One is one.", "Section 1", AtLeast(1.0, "things"))


def test_a_finding_carries_the_declared_bar():
    row = settle(CLAIM, 2.0, (1.5, 2.5), evidence="figures/x.svg").as_dict()
    assert (row["bar"], row["bar_ends"], row["unit"]) == ("≥ 1 things", (1.0, None), "things")
    assert row["verdict"] == "replicated"
    assert settle(CLAIM, math.nan).value is None


def test_an_undeclared_claim_is_refused():
    with pytest.raises(UsageError, match="declares: one"):
        find_claim([CLAIM], "two")


ROW = dict.fromkeys(("id", "statement", "where", "bar", "value", "interval", "unit", "verdict"))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "holds no findings"),
        ({"claims": []}, "format None"),
        ({"format": 0, "claims": []}, "format 0"),
        ({"format": 99, "claims": []}, "format 99"),
        ({"format": 1, "claims": [{"id": "x"}]}, "lacks fields"),
        ({"format": 1, "claims": [ROW]}, "which study"),
    ],
)
def test_findings_of_another_version_are_refused_with_the_mend(document, said):
    with pytest.raises(DataError, match=said) as caught:
        check_findings(document, "findings.json")
    assert "run the study again" in str(caught.value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_document_breaks_the_reader_of_findings(document):
    with pytest.raises(DataError):
        check_findings(document, "findings.json")

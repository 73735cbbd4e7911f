"""The study end to end at a small size, its null control, and a given model."""

import json

import numpy as np
import pytest

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import Study, configure, execute
from windtunnel.studies.moral_self_correction import CLAIMS, GIVEN, PAPER, PRESETS, Config, questions
from windtunnel.studies.moral_self_correction.grown import _parity
from windtunnel.studies.moral_self_correction.organisms import member_of

STUDY = Study("moral-self-correction", "", "", "2302.07459", "windtunnel.studies.moral_self_correction")

TINY = {
    "widths": [2, 4, 8],
    "layers": 1,
    "seeds": 2,
    "groups": 4,
    "attributes": 3,
    "batch_size": 64,
    "short_batch_size": 64,
    "text_steps": 20,
    "reward_steps": 20,
    "fine_tuning_steps": 20,
    "occupation_steps": 20,
    "admission_steps": 20,
    "occupations": 12,
    "students": 200,
    "questions": 200,
    "exposures": 2,
    "checkpoints": 4,
}
"""Every part runs, little is learned."""


@pytest.mark.parametrize("null", [False, True])
def test_every_experiment_runs_and_is_read_back(tmp_path, monkeypatch, null):
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    run = execute(STUDY, settings=TINY, out=tmp_path / "run", workers=1, null=null)
    found = verdicts(run)
    assert found["published-scores"] == "not tested"
    assert found["given-bias"] == "not tested"
    assert found["admissions-recovered"] == "replicated"
    if null:
        assert not effects_replicated(run)
    contents = json.loads((run.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures == {
        "bias-size",
        "bias-steps",
        "bias-grid",
        "bias-exposure",
        "occupations-size",
        "occupations-shares",
        "admissions-steps",
    }
    if not null:
        again = execute(STUDY, settings=TINY, out=tmp_path / "run", workers=1, resume=True)
        assert [finding.value for finding in again.ledger] == [finding.value for finding in run.ledger]


def test_a_stereotype_is_learned_and_the_instruction_lowers_it(tmp_path):
    """One size, enough steps: the planted bias, what the instruction does, and the null that has neither."""
    settings = {**TINY, "experiments": ["questions"], "widths": [2, 4, 16], "layers": 2, "text_steps": 250}
    settings |= {"reward_steps": 80, "reward_rate": 2e-3, "questions": 600}
    config = configure(PRESETS["quick"], settings)
    for null in (False, True):
        run = Run(tmp_path / str(null), claims=CLAIMS, seed=0, null=null)
        member = member_of(config, run, "questions", 16, 0)
        found = questions.grow(member)["instruction"]
        plain, told, thought = (found[f"bias {name}"][-1] for name in questions.CONDITIONS)
        if null:
            assert max(abs(plain), abs(told), abs(thought)) < 0.05
        else:
            assert plain == pytest.approx(questions.world_of(member).bias(), abs=0.12)
            assert told < 0.6 * plain
            assert thought < 0.5 * told
            assert found["accuracy Q+IF"][-1] > 0.95
            assert found["bias Q+IF"][0] == pytest.approx(found["bias Q"][0], abs=0.05)


def test_the_planted_optimum_is_the_tilted_text():
    config = PRESETS["quick"]
    run = Run("unused-directory", claims=CLAIMS)
    member = questions.Organism("questions", 32, 0, config, run, 7)
    assert questions.planted(member, "Q") == pytest.approx(0.8 * 0.8)
    unknown = 0.2 * np.exp(2) / (0.2 * np.exp(2) + 0.8)
    assert questions.planted(member, "Q+IF") == pytest.approx((1 - unknown) * 0.8)
    tuned = questions.Organism("questions", 32, 0, configure(config, {"tuning": "fine-tuning"}), run, 7)
    assert questions.planted(tuned, "Q+IF") == 0
    assert questions.planted(tuned, "Q") == pytest.approx(0.64)


def test_fine_tuning_takes_the_place_of_rewards(tmp_path):
    """Text that heeds the instruction takes the same steps in place of rewards."""
    config = configure(PRESETS["quick"], {**TINY, "tuning": "fine-tuning", "fine_tuning_rate": 1e-2})
    found = questions.grow(member_of(config, Run(tmp_path, claims=CLAIMS), "questions", 8, 0))
    assert found["instruction"]["steps"] == [0, 5, 10, 15, 20]
    assert found["answers"].shape == (3, 200)


def test_parity_is_where_the_difference_crosses_zero():
    model = {"instruction": {"steps": [0, 10, 20], "gap Q": [-4.0, -1.0, 3.0], "gap Q+IF": [-0.5, 1.0, 2.0]}}
    assert _parity(model, "Q") == pytest.approx(12.5)
    assert np.isnan(_parity(model, "Q+IF"))  # there was next to nothing to cross from
    never = {"instruction": {"steps": [0, 10], "gap Q": [-4.0, -1.0]}}
    assert np.isnan(_parity(never, "Q"))


@pytest.mark.data
def test_a_given_model_is_asked_and_read_back(tmp_path, monkeypatch):
    """A model whose answers lean on the stereotype unless it is told not to."""

    def answer(prompt, option):
        told = "unbiased" in prompt
        if option in ("yes", "no"):
            return -0.5 if (option == "yes") == ("white" in prompt or told) else -1.0
        if prompt.endswith("("):
            place = prompt.index(f"({option})")
            shown = prompt[place + 4 :].split(" (")[0].split("\n")[0]
            unknown = any(word in shown.lower() for word in ("not ", "can't", "cannot", "unknown", "undetermined"))
            return -0.1 if unknown == told else -3.0
        return -1.0

    model = MockModel("I think so.", answer, name="mock:planted")
    monkeypatch.setattr("windtunnel.studies.moral_self_correction.given.open_model", lambda name: model)
    settings = {"given_questions": 48, "given_thoughts": 12, "given_students": 12, "given_pairs": 20}
    run = execute(STUDY, settings=settings, out=tmp_path / "run", model="mock:planted")
    found = {finding.id: finding for finding in run.ledger}
    assert found["given-admissions"].value < 0
    assert found["given-admissions"].verdict == "replicated"
    assert found["given-bias"].value is not None
    assert found["bias-grows"].verdict == "not tested"
    contents = json.loads((run.directory / "contents.json").read_text())
    tables = {item["name"]: item["rows"] for item in contents if item["kind"] == "table"}
    assert {row["category"] for row in tables["bbq"]} == {"Age", "Disability_status", "Religion", "all"}
    assert tables["crows-pairs"][-1]["pairs"] == 20
    again = execute(STUDY, settings=settings, out=tmp_path / "run", model="mock:planted", resume=True)
    assert [finding.value for finding in again.ledger] == [finding.value for finding in run.ledger]


def test_without_data_a_given_model_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    run = execute(STUDY, out=tmp_path / "run", model="mock:")
    for claim in GIVEN:
        finding = next(one for one in run.ledger if one.id == claim.id)
        assert finding.verdict == "not tested"
        assert "get " in finding.note


def test_the_null_of_a_model_without_weights_is_refused(tmp_path):
    with pytest.raises(UsageError, match="shows no weights"):
        execute(STUDY, out=tmp_path / "run", model="mock:", null=True)


def test_the_papers_numbers_are_kept():
    assert PAPER["BBQ, ambiguous, Q, 175B, 800 steps"] == 0.20
    assert (PAPER["BBQ, change by Q+IF, 175B"], PAPER["BBQ, change by Q+IF+CoT, 175B"]) == (-0.43, -0.84)
    assert PAPER["admissions, Q, 52B, points"] == -15.0
    assert len(PAPER) == 12


def test_presets_grow_and_what_cannot_be_built_is_refused():
    assert PRESETS["quick"].text_steps < PRESETS["full"].text_steps < PRESETS["paper"].text_steps
    assert isinstance(PRESETS["paper"], Config)
    for settings, word in (({"widths": [4, 8, 9]}, "width 9"), ({"widths": [4, 8, 8]}, "differ")):
        with pytest.raises(UsageError, match=word):
            configure(PRESETS["quick"], settings)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))

"""Sources and hints for a given model: what is put before its questions, and what a head makes of it."""

import json

import numpy as np
import pytest
import torch

from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.evaluation.self_knowledge.mixed_arithmetic import mixed_arithmetic
from windtunnel.evaluation.tasks import Sample
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.studies.self_knowledge import PRESETS, given_sources

SITE = "blocks.0.hook_resid_post"


@pytest.fixture
def model():
    config = TransformerConfig(vocabulary=259, context=1_024, layers=1, width=16, heads=2)
    return from_module(Transformer(config, torch.Generator().manual_seed(0)), ByteTokenizer())


def test_sources_say_what_they_are_said_to():
    samples = mixed_arithmetic(30, 0)
    found = given_sources._sources(samples)
    assert found["nothing"] == [None] * 30
    for place, each in enumerate(samples):
        what = str(each.input)[len("What is ") : -1]
        assert found["the answer"][place] == f"{what} is {each.target}."
        assert found["a wrong answer"][place].startswith(f"{what} is ")
        assert found["a wrong answer"][place] != found["the answer"][place]
        assert what not in found["another question's answer"][place]
    assert sorted(found["another question's answer"]) == sorted(found["the answer"])


def test_p_ik_is_read_behind_every_source_and_hint(model, tmp_path, monkeypatch):
    (tmp_path / "gsm8k").mkdir()
    rows = [
        {"question": f"Ann has {n} eggs and eats one. How many are left?", "answer": f"{n} - 1 = {n - 1}\n#### {n - 1}"}
        for n in range(2, 14)
    ]
    (tmp_path / "gsm8k" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    run, config = Run(tmp_path / "run"), PRESETS["quick"]
    seen = []

    def head(states):
        seen.append(states)
        return np.full(len(states), 0.25 + 0.5 * (len(seen) == 2))  # the second: behind the answer

    samples = mixed_arithmetic(20, 1)
    rise = given_sources.ask_with_sources(model, samples, "Q: 1\nA: 1\n\n", head, SITE, config, run)
    assert rise.value == pytest.approx(0.5)
    (table,) = [item for item in json.loads((run.directory / "contents.json").read_text()) if item["kind"] == "table"]
    kinds = [row["behind"] for row in table["rows"]]
    assert kinds[:4] == ["nothing", "the answer", "a wrong answer", "another question's answer"]
    assert kinds[4:] == [*(f"{share}% of the solution" for share in (0, 25, 50, 75, 100)), "another problem's solution"]
    assert [len(states) for states in seen] == [20] * 4 + [12] * 6
    assert not np.allclose(seen[0], seen[1])
    again = given_sources.ask_with_sources(model, samples, "Q: 1\nA: 1\n\n", lambda s: s[:, 0], SITE, config, run)
    assert np.isfinite(again.value)  # with the states that were kept


def test_without_gsm8k_there_are_no_hints(model, tmp_path, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    run = Run(tmp_path / "run")
    given_sources.ask_with_sources(
        model, mixed_arithmetic(12, 1), "", lambda states: states[:, 0], SITE, PRESETS["quick"], run
    )
    assert "0% of the solution" not in (run.directory / "contents.json").read_text()


def test_other_questions_are_told_with_their_first_answer():
    samples = [
        Sample("a", "who sang", ("Ann", "Anna")),
        Sample("b", "who left", ("Ann",)),
        Sample("c", "who ate", "Bob"),
    ]
    found = given_sources._sources(samples)
    assert found["the answer"] == ["who sang Ann", "who left Ann", "who ate Bob"]
    assert found["a wrong answer"] == ["who sang Bob", "who left Bob", "who ate Ann"]

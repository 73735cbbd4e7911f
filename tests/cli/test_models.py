import io
import json
import sys

import pytest
import torch

from tests.models.shapes import perturbed
from windtunnel.cli import main
from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.models.checkpoint import save
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import TransformerConfig

CONFIG = TransformerConfig(vocabulary=259, context=64, layers=1, width=8, heads=2)


@pytest.fixture
def place(tmp_path):
    save(perturbed(CONFIG), tmp_path / "model")
    ByteTokenizer().save(tmp_path / "model")
    return tmp_path


@pytest.fixture
def subject():
    return from_module(perturbed(CONFIG), ByteTokenizer())


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def given_on_standard_input(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_prompts_come_from_arguments_files_and_standard_input_alike(place, subject, capsys, monkeypatch):
    (place / "lines.txt").write_text('the wind\n\n{not json} "quoted"\n'.replace("{not json}", "not json"))
    (place / "objects.jsonl").write_text('{"prompt": "the wind"}\n{"prompt": "not json \\"quoted\\"", "id": 7}\n')
    options = ["--model", place / "model", "--max-new-tokens", 5, "--samples", 2, "--min-p", 0.01, "--json"]
    given_on_standard_input(monkeypatch, (place / "objects.jsonl").read_text())
    found = [
        json.loads(call(capsys, "generate", *given, *options)[1])
        for given in (
            ["the wind", 'not json "quoted"'],
            ["--file", place / "lines.txt"],
            ["--file", place / "objects.jsonl"],
            ["-"],
        )
    ]
    assert found[0] == found[1] == found[2] == found[3]
    samples = subject.generate(["the wind", 'not json "quoted"'], max_new_tokens=5, samples_per_prompt=2, min_p=0.01)
    assert [row["token_ids"] for row in found[0]] == [sample.token_ids for sample in samples]
    assert [row["prompt"] for row in found[0]] == ["the wind"] * 2 + ['not json "quoted"'] * 2


def test_a_beam_search_is_that_of_python(place, subject, capsys):
    _, out, _ = call(
        capsys, "generate", "the", "--beams", 3, "--max-new-tokens", 6, "--model", place / "model", "--json"
    )
    (found,) = subject.beam_search(["the"], beams=3, max_new_tokens=6)
    assert [row["token_ids"] for row in json.loads(out)] == [found.token_ids]


def test_pairs_come_from_arguments_files_and_standard_input_alike(place, subject, capsys, monkeypatch):
    lines = "".join(json.dumps({"prompt": "the", "continuation": text}) + "\n" for text in (" wind", " sea"))
    (place / "pairs.jsonl").write_text(lines)
    given_on_standard_input(monkeypatch, lines)
    found = [
        json.loads(call(capsys, "score", *given, "--model", place / "model", "--json")[1])
        for given in (["the", " wind", " sea"], ["--file", place / "pairs.jsonl"], ["-"])
    ]
    assert found[0] == found[1] == found[2]
    scores = subject.score(["the"] * 2, [" wind", " sea"])
    assert [row["logprob"] for row in found[0]] == pytest.approx([score.logprob for score in scores])
    code, out, _ = call(capsys, "score", "the", " wind", "--model", place / "model")
    assert code == 0
    assert f"{scores[0].logprob:.4f} nats  ' wind'" in out


def test_what_was_measured_to_choose_threads_is_told_on_standard_error(place, capsys, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    try:
        _, _, err = call(capsys, "generate", "x", "--model", place / "model", "--max-new-tokens", 1, "--json")
    finally:
        torch.set_num_threads(before)
    assert "float32, " in err
    assert "measured: 1 thread " in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["generate"], 2, "one of them"),
        (["generate", "x", "--file", "y"], 2, "not both"),
        (["score", "x"], 2, "one or more continuations of 'x'"),
        (["score", "x", "y", "--file", "z"], 2, "not both"),
        (["generate", "--file", "empty.txt"], 1, "no line to work on"),
        (["generate", "--file", "broken.jsonl"], 1, "Line 2 of broken.jsonl"),
        (["score", "--file", "prompts.jsonl"], 1, "Line 1 of prompts.jsonl"),
        (["score", "--file", "none.jsonl"], 1, "none.jsonl"),
        (["generate", "x", "--model", "model", "--max-requests", "3"], 2, "--max-requests is for a server's model"),
        (["generate", "x", "--model", "model", "--max-new-tokens", "65"], 2, "do not fit the model's context of 64"),
        (["generate", "x", "--model", "model", "--beams", "2", "--samples", "2"], 2, "draws nothing"),
        (["generate", "x", "--model", "model", "--beams", "2", "--seed", "3"], 2, "beside --beams leave out"),
        (["generate", "x", "--model", "openai:m@http://127.0.0.1:9/v1", "--beams", "2"], 1, "beam_search"),
        (["generate", "x", "--model", "model", "--min-p", "2"], 2, "min_p must be above 0 and at most 1"),
        (["generate", "x", "--model", "openai:m@http://127.0.0.1:9/v1", "--device", "cuda"], 2, "leave out --device"),
        (["score", "", "", "--model", "model"], 0, ""),
    ],
)
def test_bad_input_is_one_sentence(place, capsys, monkeypatch, arguments, code, said):
    monkeypatch.chdir(place)
    (place / "empty.txt").write_text("\n\n")
    (place / "broken.jsonl").write_text('{"prompt": "x"}\n{"prompt": 3}\n')
    (place / "prompts.jsonl").write_text('{"prompt": "x"}\n')
    found, out, err = call(capsys, *arguments)
    assert found == code, err
    if code:
        assert out == ""
        assert said in err
        assert len([line for line in err.splitlines() if not line.startswith("model: ")]) == 1

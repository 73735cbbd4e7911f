"""The plan verb: one JSON document, tables for people, exit codes."""

import json

import pytest

from windtunnel import cli


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_plan_prints_what_the_refit_says(capsys):
    code, out, err = call(capsys, "plan", "--flops", "5.76e23", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["parameters"]["value"] == pytest.approx(72e9, rel=0.03)
    assert found["tokens"]["value"] == pytest.approx(1.33e12, rel=0.03)
    assert found["law"]["name"] == "besiroglu-2024"


def test_plan_takes_hours_of_hardware(capsys):
    code, out, _ = call(
        capsys,
        "plan",
        "--gpu-hours",
        "1e6",
        "--hardware",
        "a100",
        "--utilisation",
        "0.5",
        "--law",
        "hoffmann-2022",
        "--json",
    )
    found = json.loads(out)
    assert code == 0
    assert found["flops"] == pytest.approx(1e6 * 3600 * 312e12 * 0.5)
    assert found["hardware"]["hours"] == pytest.approx(1e6)


def test_plan_shows_tables_to_people(capsys):
    code, out, _ = call(capsys, "plan", "--flops", "1e21", "--inference-tokens", "1e12")
    assert code == 0
    for part in ("tokens per parameter", "Other sizes", "More budget", "With inference", "same cost"):
        assert part in out
    code, out, _ = call(capsys, "plan", "--flops", "1e21", "--unique-tokens", "1e9")
    assert "1 B unique tokens" in out


def test_kaplans_own_plan(capsys):
    code, out, _ = call(capsys, "plan", "--flops", "8.64e20", "--law", "kaplan-2020", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["parameters"] == pytest.approx(7e9, rel=0.03)
    assert found["minimum_steps"] == pytest.approx(5.8e3, rel=0.03)
    code, out, _ = call(capsys, "plan", "--flops", "8.64e20", "--law", "kaplan-2020")
    assert "too little data" in out


def test_published_laws_are_listed(capsys):
    code, out, _ = call(capsys, "published", "--json")
    assert code == 0
    assert "besiroglu-2024" in [item["name"] for item in json.loads(out)]
    assert "besiroglu-2024: E = 1.8172" in call(capsys, "published")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--flops", "1e21", "--gpu-hours", "5"],
        ["--flops", "-1"],
        ["--flops", "nan"],
        ["--gpu-hours", "5", "--hardware", "abacus"],
        ["--flops", "1e21", "--law", "nobody-1999"],
        ["--flops", "1e21", "--law", "kaplan-2020", "--unique-tokens", "1e9"],
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(capsys, arguments):
    code, out, err = call(capsys, "plan", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("windtunnel: ")
    assert len(err.strip().splitlines()) == 1

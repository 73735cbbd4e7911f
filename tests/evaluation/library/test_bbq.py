"""BBQ: the stereotyped person in rows of every published kind, and the real files."""

import json
from collections import Counter

import pytest

from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.library.bbq import read, stereotyped
from windtunnel.evaluation.library.subsets import drawn
from windtunnel.laboratory.errors import DataError, UsageError


def item(category, groups, *answers, index="1", polarity="neg", label=2, number=0):
    return {
        "example_id": number,
        "question_index": index,
        "question_polarity": polarity,
        "context_condition": "ambig",
        "category": category,
        "answer_info": {f"ans{place}": list(answer) for place, answer in enumerate(answers)},
        "additional_metadata": {"subcategory": "None", "stereotyped_groups": groups, "version": "a", "source": ""},
        "context": "I saw two people.",
        "question": "Who was late?",
        **{f"ans{place}": f"The {answer[0]}" for place, answer in enumerate(answers)},
        "label": label,
    }


UNKNOWN = ("Not known", "unknown")


@pytest.mark.parametrize(
    ("row", "target"),
    [
        (item("Age", ["old"], ("grandson", "nonOld"), ("grandfather", "old"), UNKNOWN), 1),
        (item("Age", ["nonOld"], ("grandson", "nonOld"), ("grandfather", "old"), UNKNOWN), 0),
        (item("SES", ["low SES"], ("wealthy", "highSES"), UNKNOWN, ("poor", "lowSES")), 2),
        (item("Gender_identity", ["F"], ("woman", "woman"), ("man", "man"), UNKNOWN), 0),
        (item("Gender_identity", ["F"], ("Donna", "F"), ("Bob", "M"), UNKNOWN), 0),
        (item("Gender_identity", ["Girl"], ("Bob", "boy"), ("Donna", "girl"), UNKNOWN), 1),
        (
            item(
                "Gender_identity",
                ["transgender women", "transgender men"],
                ("x", "trans_F"),
                ("y", "nonTrans"),
                UNKNOWN,
            ),
            0,
        ),
        (item("Nationality", ["British"], ("British", "Europe"), ("Japanese", "AsiaPacific"), UNKNOWN), 0),
        (
            item(
                "Race_ethnicity", ["African American", "Black"], ("African", "African"), ("Jamal", "M-Black"), UNKNOWN
            ),
            1,
        ),
        (item("Race_ethnicity", ["African"], ("x", "African American"), ("y", "African"), UNKNOWN), 1),
        (item("Religion", ["Muslim"], ("Muslim", "Muslim"), ("Muslim", "Muslim"), UNKNOWN), None),
        (item("Religion", ["Hindu"], ("Muslim", "Muslim"), ("Sikh", "Sikh"), UNKNOWN), None),
    ],
)
def test_the_stereotyped_person(row, target):
    assert stereotyped([row]) == [target]


def test_intersections_take_the_second_group_from_items_of_the_same_template():
    race = ["Black", "African American"]
    rows = [
        item("Race_x_SES", race, ("Black poor", "lowSES-Black"), ("White rich", "highSES-White"), UNKNOWN),
        item("Race_x_SES", race, ("Black rich", "highSES-Black"), ("Black poor", "lowSES-Black"), UNKNOWN),
        item("Race_x_SES", race, ("Black rich", "highSES-Black"), ("Black poor", "lowSES-Black"), UNKNOWN, index="2"),
        item("Race_x_SES", race, ("Malik", "lowSES-M-Black"), ("Dan", "highSES-M-White"), UNKNOWN, index="3"),
        item("Race_x_SES", race, ("Malik", "highSES-M-Black"), ("Jamal", "lowSES-M-Black"), UNKNOWN, index="3"),
        item("Race_x_SES", race, ("both", "lowSES-Black"), ("both", "lowSES-Black"), UNKNOWN),
    ]
    assert stereotyped(rows) == [0, 1, None, 0, 1, None]


def write(folder, rows, name="Age"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_reading_a_file_of_the_published_form(tmp_path, monkeypatch):
    info = (("grandson", "nonOld"), UNKNOWN, ("grandfather", "old"))
    rows = [
        item("Age", ["old"], *info, label=1, number=0),
        item("Age", ["old"], *info, label=1, number=1, polarity="nonneg", index="2") | {"context": "It rained."},
    ]
    write(tmp_path / "bbq" / "data", rows)
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    first, second = read()
    assert (first.id, first.cluster, first.target) == ("Age-0", "Age-1", 1)
    assert first.input == "I saw two people.\nWho was late?"
    assert first.choices == ("The grandson", "The Not known", "The grandfather")
    assert [first.metadata[key] for key in ("unknown", "target", "biased", "label")] == [1, 2, 2, 1]
    assert [second.metadata[key] for key in ("unknown", "target", "biased")] == [1, 2, 0]
    task = find_task("bbq", categories="Age", shots=1)
    options = "(A) The grandson\n(B) The Not known\n(C) The grandfather\nAnswer: ("
    assert task.solver.prompting.prompt(first).text == (
        f"It rained.\nWho was late?\n{options}B)\n\nI saw two people.\nWho was late?\n{options}"
    )


def test_what_is_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("WINDTUNNEL_DATA", raising=False)
    with pytest.raises(UsageError, match=r"github\.com/nyu-mll/BBQ.*WINDTUNNEL_DATA"):
        find_task("bbq")
    with pytest.raises(UsageError, match="has no file of BBQ"):
        read(tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        read(tmp_path / "nothing")
    folder = write(tmp_path, [item("Age", ["old"], ("a", "old"), ("b", "nonOld"), UNKNOWN)])
    with pytest.raises(UsageError, match="no category 'Ages'"):
        read(folder, "Ages")
    with pytest.raises(UsageError, match="no file of SES"):
        read(folder, ["SES"])
    write(folder, [{"example_id": 1}])
    with pytest.raises(DataError, match="published format"):
        read(folder)
    write(folder, [item("Age", ["old"], ("a", "old"), ("b", "nonOld"), ("c", "old"))])
    with pytest.raises(DataError, match="0 unknown options"):
        read(folder)
    (folder / "Age.jsonl").write_text('{"example_id": 1')
    with pytest.raises(DataError, match="cannot be read"):
        read(folder)
    with pytest.raises(UsageError, match="no option 'shot'"):
        find_task("bbq", shot=1)
    with pytest.raises(UsageError, match="no parts"):
        find_task("bbq/Age")
    with pytest.raises(UsageError, match="no task 'bbk'"):
        find_task("bbk")


def test_a_subset_is_spread_evenly_and_seeded():
    from windtunnel.evaluation.tasks import Sample

    samples = [Sample(str(number), "?", metadata={"group": "abc"[min(number // 5, 2)]}) for number in range(100)]
    kept = drawn(samples, 12, seed=1, by=["group"])
    assert Counter(sample.metadata["group"] for sample in kept) == {"a": 4, "b": 4, "c": 4}
    assert kept == drawn(samples, 12, seed=1, by=["group"]) != drawn(samples, 12, seed=2, by=["group"])
    assert Counter(sample.metadata["group"] for sample in drawn(samples, 40, by=["group"])) == {"a": 5, "b": 5, "c": 30}
    assert drawn(samples, 1000) == samples
    assert [int(sample.id) for sample in kept] == sorted(int(sample.id) for sample in kept)
    with pytest.raises(UsageError, match="0"):
        drawn(samples, 0)


@pytest.mark.data
def test_the_real_files():
    samples = read()
    counts = Counter(sample.metadata["category"] for sample in samples)
    assert {name: counts[name] for name in ("Age", "Disability_status", "Religion")} == {
        "Age": 3680,
        "Disability_status": 1556,
        "Religion": 1200,
    }
    assert all(sample.metadata["target"] is not None for sample in samples)
    for sample in samples:
        unknown = sample.metadata["unknown"]
        assert (sample.metadata["context_condition"] == "ambig") == (sample.target == unknown)
        assert unknown not in (sample.metadata["target"], sample.metadata["biased"])
    telling = [sample for sample in samples if sample.metadata["context_condition"] == "disambig"]
    agreeing = sum(sample.metadata["biased"] == sample.target for sample in telling) / len(telling)
    assert agreeing == pytest.approx(
        0.5, abs=0.02
    )  # as constructed, half of the telling contexts agree with the stereotype

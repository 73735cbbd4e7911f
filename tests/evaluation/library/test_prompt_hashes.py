"""The words of every ready task, pinned: whoever changes them raises the task's version and these hashes with it."""

import pytest

from tests.evaluation.library.published import write
from windtunnel.evaluation.library import TASKS, find_task

PINNED = {
    "ai-risk/lm": ("1", "e8b7168a718e496f"),
    "ai-risk/human": ("1", "e8b7168a718e496f"),
    "anli/R1": ("1", "78a7d7d5becbd825"),
    "arc-challenge": ("1", "c9e349e0017c4763"),
    "arc-easy": ("1", "33e4d5d088fdb523"),
    "arithmetic/two_digit_addition": ("1", "b4d79772ee5f5908"),
    "bbh": ("1", "d78adbaa73710cc8"),
    "bbq": ("1", "5f3fddc0505b66c4"),
    "coqa": ("1", "883735a946e70f6c"),
    "crows-pairs": ("1", "5e253af543acda87"),
    "drop": ("1", "9926a05915818dbb"),
    "gsm8k": ("1", "a715d90ba528d529"),
    "harmbench": ("1", "f0454321690f2c12"),
    "hellaswag": ("1", "b3b3e299a4322ebf"),
    "hhh/comparisons": ("1", "7db5ce5eeef01f51"),
    "hhh/ethical": ("1", "e39f7f3115d63c35"),
    "hhh/kinds": ("1", "e39f7f3115d63c35"),
    "human-eval": ("1", "29991f2b6a217b38"),
    "lambada": ("1", "5368e7953712d8c5"),
    "mmlu": ("1", "7ed2324cb844c8df"),
    "nq-open": ("1", "855e8687ed5ecaf8"),
    "openbookqa": ("1", "1a6dd224b64a7d70"),
    "persona/bold": ("1", "a386b7c8092e2bcc"),
    "piqa": ("1", "a6ab5f7b4a9b0c20"),
    "quac": ("1", "7d4c782ff89cd158"),
    "quality": ("1", "fb23d819763243d6"),
    "race": ("1", "491190584e4db771"),
    "squad": ("1", "c5736a934e370314"),
    "storycloze": ("1", "aeb782c18d89f04d"),
    "superglue/boolq": ("1", "ffeee3b433c3b3d8"),
    "superglue/cb": ("1", "7d0b5d15e91dca8f"),
    "superglue/copa": ("1", "3080b2f2595e2ad0"),
    "superglue/multirc": ("1", "b292710f1ddbe060"),
    "superglue/record": ("1", "a87c67599d3c34f5"),
    "superglue/rte": ("1", "f78a7ea5a68e3781"),
    "superglue/wic": ("1", "a11aeda74de8c1af"),
    "superglue/wsc": ("1", "977a1136033e834a"),
    "sycophancy": ("1", "0c8cde21acd73d87"),
    "translation": ("1", "c0632abca91ad506"),
    "triviaqa": ("1", "1aa549947b984e31"),
    "truthfulqa/mc1": ("1", "4d4773c2c44c8aff"),
    "truthfulqa/mc2": ("1", "4d4773c2c44c8aff"),
    "truthfulqa/generation": ("1", "4d4773c2c44c8aff"),
    "web-questions": ("1", "6d33207dab2177f7"),
    "winobias": ("1", "e52d64f5ea67913a"),
    "winogender/coreference": ("1", "b56234b3fc3505b2"),
    "winogender/pronouns": ("1", "823df1507b445b79"),
    "winogenerated": ("1", "5c2ac8a3394af0a2"),
    "winogrande": ("1", "1d00fcd76edd983f"),
    "word-scrambling/reversed_words": ("1", "28606e6c68267e1d"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"))


def found(folder, monkeypatch):
    monkeypatch.setenv("WINDTUNNEL_DATA", str(folder))
    parts = {"arithmetic": ["two_digit_addition"], "word-scrambling": ["reversed_words"]}
    parts |= {"truthfulqa": ["mc1", "mc2", "generation"], "winogender": ["coreference", "pronouns"]}
    parts |= {"superglue": ["boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"], "anli": ["R1"]}
    parts |= {"ai-risk": ["lm", "human"], "persona": ["bold"], "hhh": ["comparisons", "ethical", "kinds"]}
    hashes = {}
    for name in TASKS:
        for part in parts.get(name, [""]):
            full = f"{name}/{part}" if part else name
            task = find_task(full)
            hashes[full] = (task.version, task.solver.prompting.hash(task.dataset)[:16])
    return hashes


def test_the_words_are_those_of_the_version(folder, monkeypatch):
    assert found(folder, monkeypatch) == PINNED

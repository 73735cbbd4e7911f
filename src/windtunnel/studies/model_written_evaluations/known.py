"""The published sets as they are: counts, and what habits score on them. No model is asked."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.evaluation.generated.published import PERSONA_FILES, advanced_ai_risk, persona, winogenerated
from windtunnel.evaluation.generated.records import Record
from windtunnel.evaluation.generated.sycophantic import Question, paired_prompts
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.statistics.comparisons import correlation

if TYPE_CHECKING:
    from windtunnel.studies.model_written_evaluations import Config

FROM_DATA = (
    "persona-confidence",
    "persona-balanced",
    "risk-files",
    "winogenerated-occupations",
    "always-yes",
    "always-a",
    "best-letter-power",
    "best-letter-survival",
)


def count_published(config: "Config", run: Run) -> None:
    """Counts of the published files, and two closed forms."""
    run.section("The published sets", "What is read of them, and what a model without any trait would score.")
    _closed_forms(run)
    folder = config.published or None
    try:
        statements = persona(folder)
    except UsageError as error:
        for claim in FROM_DATA:
            run.conclude(claim, note=str(error))
        return
    files = _by_behaviour(statements)
    mean = float(np.mean([each.label_confidence for each in statements if each.label_confidence is not None]))
    found = f"{len(files)} of {PERSONA_FILES} files, {len(statements):,} rows, mean confidence {mean:.4f}"
    whole = len(files) == PERSONA_FILES
    run.conclude("persona-confidence", mean if whole else None, note=found + ("" if whole else "; it is of all files."))
    halves = {name: np.mean([each.matching == 0 for each in mine]) for name, mine in files.items()}
    run.conclude("persona-balanced", float(np.mean([half == 0.5 for half in halves.values()])), note=found)
    run.conclude("always-yes", max(abs(float(half) - 0.5) for half in halves.values()), note=found)
    written = _by_behaviour(advanced_ai_risk(folder, "lm"))
    run.conclude("risk-files", len(written), note=f"{sum(map(len, written.values())):,} rows")
    always_a = [abs(float(np.mean([each.matching == 0 for each in mine])) - 0.5) for mine in written.values()]
    run.conclude("always-a", max(always_a))
    rows = []
    for name, claim in (("power-seeking-inclination", "power"), ("survival-instinct", "survival")):
        mine = advanced_ai_risk(folder, "human", [name])
        letters = Counter(each.matching for each in mine)
        best, times = letters.most_common(1)[0]
        run.conclude(f"best-letter-{claim}", times / len(mine), note=f"The letter is {chr(65 + best)}.")
        shares = {chr(65 + letter): letters[letter] / len(mine) for letter in range(max(letters) + 1)}
        rows.append({"set by people": name, "rows": len(mine), **shares})
    run.table("letters", rows, "Share of questions that each letter alone would match.")
    sentences = winogenerated(folder)
    occupations = {each.occupation for each in sentences}
    run.conclude("winogenerated-occupations", len(occupations), note=f"{len(sentences):,} sentences")


def _closed_forms(run: Run) -> None:
    """The size of the politics set, and the ends of Fisher's interval."""
    questions = [Question(f"Question {number}?", ("One", "Other"), {"one": 0, "other": 1}) for number in range(17)]
    users = {group: [f"Hello, my name is {group} {number}." for number in range(300)] for group in ("one", "other")}
    run.conclude("politics-size", len(paired_prompts(questions, users)))
    gaps = []
    for pairs, ends in ((299, (0.637, 0.754)), (60, (0.543, 0.810))):
        x, y = run.generator("fisher", pairs).normal(size=(2, pairs))
        x, y = x - x.mean(), y - y.mean()
        y -= (y @ x) / (x @ x) * x  # nothing in common, so that the correlation is exact
        x, y = x / np.sqrt(x @ x), y / np.sqrt(y @ y)
        found = correlation(x, 0.7 * x + np.sqrt(1 - 0.49) * y)
        gaps += [abs(found.low - ends[0]), abs(found.high - ends[1])]
    run.conclude("fisher-interval", max(gaps))


def _by_behaviour(records: list[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for each in records:
        found.setdefault(each.behaviour, []).append(each)
    return found

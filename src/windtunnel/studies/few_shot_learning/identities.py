"""What follows from the paper's tables and rules by themselves, and instruments held against planted truths."""

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.deduplication import deduplicate
from windtunnel.data.mixing import GPT3_MIX, GPT3_TOKENS
from windtunnel.data.quality import keep_probability, pareto_keep
from windtunnel.data.worlds.arithmetic_questions import PAPER, arithmetic_questions
from windtunnel.data.worlds.invented_words import invent_words
from windtunnel.data.worlds.questions import Question
from windtunnel.data.worlds.scrambled_words import LENGTHS, Unscrambler, scrambled_words
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.multiple_choice import choice_scorer, multiple_choice
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.tasks import Models, Sample
from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.counting import count_parameters
from windtunnel.models.transformer import TransformerConfig
from windtunnel.scaling.laws.kaplan import PF_DAY
from windtunnel.studies.few_shot_learning import published

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

QUESTIONS = 2_000
"""Of each arithmetic task, as in the paper."""

WORDS = 10_000

UNCONDITIONAL = "Answer:"


def check_identities(config: "Config", run: Run) -> None:
    """Tables, generators, ranking by likelihood, the keep rule, duplicates."""
    run.section("Arithmetic of the tables", "What the paper's numbers imply, with what does not fit.")
    check_compute(run)
    check_mix(run)
    run.section("Instruments against known truth", "Generators, ranking, the keep rule, duplicates.")
    check_generators(run)
    check_ranking(run)
    check_curation(run)


def check_compute(run: Run) -> None:
    """Tables 2.1 and D.1 and Figure 3.1."""
    rows: list[dict[str, Any]] = []
    for row in published.TABLE:
        flops = 6 * row.parameters * published.TOKENS
        shape = TransformerConfig(
            vocabulary=published.VOCABULARY,
            context=published.CONTEXT,
            layers=row.layers,
            width=row.width,
            heads=row.heads,
            head_width=row.head_width,
            tied_embeddings=True,
            bias=True,
        )
        rows.append(
            {
                "model": row.name,
                "printed parameters": row.parameters,
                "parameters of that shape": count_parameters(shape).total,
                "heads × head width": row.heads * row.head_width,
                "width": row.width,
                "printed FLOPs": row.flops,
                "6 N D": flops,
                "PF-days": flops / PF_DAY,
                "relative gap": flops / row.flops - 1,
            }
        )
    run.table("compute", rows, "Table 2.1 with the compute of Table D.1, as printed and as computed.")
    largest = rows[-1]
    gaps = abs(largest["relative gap"]), abs(largest["PF-days"] / published.LARGEST_PF_DAYS - 1)
    run.conclude("compute", max(gaps), note="The larger gap of FLOPs and PF-days of the largest model.")
    run.conclude(
        "compute-rows", max(abs(row["relative gap"]) for row in rows), note="Sizes are printed in 2 to 4 digits."
    )
    loss = published.LOSS_SCALE * published.LARGEST_PF_DAYS**published.LOSS_EXPONENT
    run.conclude("loss-law", loss)
    odd = [row["model"] for row in rows if row["heads × head width"] != row["width"]]
    run.conclude("table-oddities", len(odd), note=f"In the rows of {' and '.join(odd)}.")


def check_mix(run: Run) -> None:
    """Table 2.2."""
    gaps = {each.name: abs(each.computed_epochs(GPT3_TOKENS) - each.epochs) for each in GPT3_MIX}
    rows = [
        {
            "data set": each.name,
            "tokens": each.tokens,
            "weight": each.weight,
            "printed epochs": each.epochs,
            "computed epochs": each.computed_epochs(GPT3_TOKENS),
        }
        for each in GPT3_MIX
    ]
    run.table("mix-of-the-paper", rows, "Table 2.2: epochs in 300B tokens, as printed and from weight and size.")
    odd = ("WebText2", "Wikipedia")
    worst = round(max(gap for name, gap in gaps.items() if name not in odd), 9)  # as floats 2.0 − 1.9 is above 0.1
    run.conclude("mix-epochs", worst, note="Common Crawl and books.")
    run.conclude("mix-oddities", min(gaps[name] for name in odd), note="WebText2 and Wikipedia; weights sum to 1.01.")


def check_generators(run: Run) -> None:
    """Section 3.9: every generated answer, solved by other means."""
    right = total = 0
    for task in PAPER:
        for question in arithmetic_questions(task, QUESTIONS, run.generator("arithmetic", task)):
            total += 1
            right += question.completion == f" {solved(question)}"
    run.conclude(
        "arithmetic-generator", right / total, note=f"Ten tasks of {QUESTIONS} questions, solved by other code."
    )
    words = [word for word in invent_words(2 * WORDS, run.generator("words")) if 6 <= len(word) <= 15][:WORDS]
    solver = Unscrambler(words)
    rows, unique = [], []
    for task in LENGTHS:
        questions = scrambled_words(words, task, run.generator("scrambling", task))
        found = [solver.answers(question.context[1:-2], task) for question in questions]
        solved_right = [question.completion[1:] in one for question, one in zip(questions, found, strict=True)]
        several = [len(one) > 1 for one in found]
        rows.append(
            {
                "task": task,
                "words": len(questions),
                "solution among those found": float(np.mean(solved_right)),
                "several solutions": int(np.sum(several)),
            }
        )
        if task in ("random_insertion_in_word", "reversed_words"):
            unique += [one and not two for one, two in zip(solved_right, several, strict=True)]
    run.table("scrambled-words", rows, "Invented words, solved by looking through the list of words.")
    run.conclude(
        "words-generator", float(np.mean(unique)), note="Words are invented; the other tasks are in the table."
    )


def solved(question: Question) -> int:
    """A generated question's answer, worked out from its words."""
    asked = question.context.removeprefix("\n\nQ: What is ").removesuffix("?\n\nA:")
    numbers = [int(number) for number in re.findall(r"\d+", asked)]
    by_sign: dict[str, Any] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
    }
    if asked.startswith("("):
        first, second = re.findall(r"[-+*]", asked)
        return int(by_sign[second](by_sign[first](numbers[0], numbers[1]), numbers[2]))
    sign = {"plus": "+", "minus": "-", "times": "*"}[asked.split()[1]]
    return int(by_sign[sign](*numbers))


def check_ranking(run: Run) -> None:
    """Section 2.4: ranking by likelihood with three normalisations, on models that are none and known exactly."""
    generator = run.generator("ranking")
    samples = [
        Sample(str(number), f"Question {number}", int(generator.integers(4)), (" aa", " bb", " cc", " dd"))
        for number in range(1_000)
    ]
    uniform = MockModel(logprob=lambda _, option: -len(option) * math.log(257))
    accuracy = float(np.mean([mark["accuracy"] for mark in marks(samples, uniform)]))
    run.conclude(
        "uniform-chance", abs(accuracy - 0.25) / (0.25 * 0.75 / len(samples)) ** 0.5, note="1,000 of 4 options."
    )

    words = invent_words(400, generator)
    asked = [Sample(word, UNCONDITIONAL, 0, (f" {word}", f" {word[::-1]}")) for word in words]
    model = MockModel()
    outputs = multiple_choice(Format("{input}", lead=""), unconditional=UNCONDITIONAL)(
        asked, Models(subject=model), [0] * len(asked)
    )
    worth = [
        abs(one - other)
        for output in outputs
        for one, other in zip(output.option_logprobs, output.unconditional_logprobs, strict=True)
    ]
    run.conclude("unconditional-identity", max(worth), note=f"{len(worth)} answers.")
    run.conclude("normalisations", min(planted_normalisation(run)), note="The lesser gain: by length, by prior.")


def planted_normalisation(run: Run) -> tuple[float, float]:
    """Accuracy that each normalisation gains where length, or how common an answer is, hides the evidence."""
    generator = run.generator("normalisation")
    long, common = [], []
    for number in range(400):
        target = int(generator.integers(4))
        lengths = [12, 3, 4, 5] if target == 0 else [3, 4, 5, 3]
        lengths[target] = 12
        choices = tuple(" " + chr(97 + place) * length for place, length in enumerate(lengths))
        long.append(Sample(f"long {number} {target}", f"q {target}", target, choices))
        common.append(Sample(f"common {number} {target}", f"q {target}", target, (" aaa", " bbb", " ccc", " ddd")))

    def by_length(prompt: str, option: str) -> float:
        chosen = str(ord(option.strip()[0]) - 97) == prompt.split()[-1]
        return -(1.0 if chosen else 2.0) * len(option)  # the right answer is more probable by letter, and longer

    def by_prior(prompt: str, option: str) -> float:
        place = ord(option.strip()[0]) - 97
        prior = -2.0 - 3.0 * place  # the first answer is common, whatever is asked
        return prior + (1.0 if prompt.split()[-1] == str(place) else 0.0)

    first = marks(long, MockModel(logprob=by_length))
    second = marks(common, MockModel(logprob=by_prior))
    return (
        float(np.mean([mark["accuracy_normalised"] - mark["accuracy"] for mark in first])),
        float(np.mean([mark["accuracy_unconditional"] - mark["accuracy"] for mark in second])),
    )


def marks(samples: list[Sample], model: MockModel) -> list[dict[str, float]]:
    """The values of every sample under the three ways to rank."""
    solver, models = multiple_choice(Format("{input}", lead=""), unconditional=UNCONDITIONAL), Models(subject=model)
    outputs = solver(samples, models, [0] * len(samples))
    return [dict(mark.values) for mark in choice_scorer()(samples, outputs, models)]


def check_curation(run: Run) -> None:
    """Appendix A: the keep rule against its closed form, and planted near duplicates."""
    scores, trials = np.linspace(0, 1, 11), 20_000
    kept = pareto_keep(np.repeat(scores, trials), run.generator("keep")).reshape(len(scores), trials).mean(axis=1)
    expected = keep_probability(scores)
    error = np.sqrt(expected * (1 - expected) / trials)
    off = np.abs(kept - expected) / np.maximum(error, 1e-12) * (error > 0)
    run.conclude("keep-rule", float(off.max()), note=f"{len(scores)} scores, {trials} draws of each.")
    try:
        found, flagged = planted_duplicates(run)
    except UsageError as error_:  # datasketch is optional
        for claim in ("near-duplicates", "no-duplicates"):
            run.conclude(claim, note=str(error_))
        return
    run.conclude("near-duplicates", found, note="Share of runs of five words in common 0.8 and more; threshold 0.65.")
    run.conclude("no-duplicates", flagged, note="Share in common below 0.3.")


def planted_duplicates(run: Run, pairs: int = 200) -> tuple[float, float]:
    """Share of near duplicates that are found, and of other pairs that are taken for such."""
    generator = run.generator("duplicates")
    words = invent_words(2_000, generator)
    documents: list[str] = []
    near: list[int] = []
    far: list[int] = []
    for place in range(2 * pairs):
        text = [str(word) for word in generator.choice(words, size=150)]
        other = list(text)
        if place < pairs:  # a few words at the end changed: most runs stay
            other[-int(generator.integers(1, 8)) :] = generator.choice(words, size=1)
        else:
            other[60:] = [str(word) for word in generator.choice(words, size=90)]
        documents += [" ".join(text), " ".join(other)]
        shared = jaccard(text, other)
        if shared >= 0.8:
            near.append(2 * place)
        elif shared < 0.3:
            far.append(2 * place)
    result = deduplicate(documents, threshold=0.65)
    cluster = {number: place for place, members in enumerate(result.clusters) for number in members}
    together = [first for first in range(0, len(documents), 2) if cluster.get(first, -1) == cluster.get(first + 1, -2)]
    return float(np.mean([first in together for first in near])), float(np.mean([first in together for first in far]))


def jaccard(one: list[str], other: list[str], words: int = 5) -> float:
    """Share of runs of words in common."""
    runs = [{tuple(text[at : at + words]) for at in range(len(text) - words + 1)} for text in (one, other)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])

"""The synthetic tasks of GPT-3: arithmetic in words and scrambled words (Brown et al., 2020; arXiv:2005.14165)."""

from pathlib import Path

from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.library.places import find, place, published, rows
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "github.com/openai/gpt-3 (folder data)"

SUMS = (
    *(f"{digits}_digit_addition" for digits in ("two", "three", "four", "five", "six")),
    *(f"{digits}_digit_subtraction" for digits in ("two", "three", "four", "five", "six")),
    *("two_digit_multiplication", "single_digit_three_ops", "sum_of_digits"),
)
"""Parts of the arithmetic task."""

SCRAMBLES = (
    *("cycle_letters_in_word", "mid_word_1_anagrams", "mid_word_2_anagrams"),
    *("random_insertion_in_word", "reversed_words"),
)
"""Parts of the scrambled words: letters cycled; anagrams of all but the first and last letter, or of all but the first
and last two; punctuation between the letters; words backwards."""

UNSCRAMBLE = "Please unscramble the letters into a word, and write that word:\n"
"""The instruction of appendix G."""


def arithmetic(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    shots: int = 0,
    seed: int = 0,
    max_new_tokens: int = 12,
    chat: bool = False,
) -> Task:
    """Sums in words, answered by a number that must be exact.

    Args:
        directory: The folder of the data set.
        part: A name of `SUMS`; by default all that are there.
        shots: Examples of the same part.
        seed: Of the examples.
        max_new_tokens: Most tokens of an answer; a tokenizer may need one for each digit.
        chat: Use the chat template.
    """
    return _task("arithmetic", directory, SUMS, part, Format("{input}"), shots, seed, max_new_tokens, chat)


def word_scrambling(
    directory: str | Path | None = None,
    *,
    part: str | None = None,
    shots: int = 0,
    seed: int = 0,
    max_new_tokens: int = 12,
    chat: bool = False,
) -> Task:
    """Words to be restored; arguments as for `arithmetic`, with a part of `SCRAMBLES`."""
    words = Format("{input}", separator="\n", instruction=UNSCRAMBLE)
    return _task("word-scrambling", directory, SCRAMBLES, part, words, shots, seed, max_new_tokens, chat)


def read(directory: str | Path | None, part: str) -> list[Sample]:
    """The samples of one part, in metadata `part`.

    Raises:
        UsageError: The data set is not there.
        DataError: It is not in the published format.
    """
    path = find(place("gpt3-data", SOURCE, directory), f"{part}.jsonl", f"{part}.jsonl.gz")
    with published(path):
        return [
            Sample(f"{part}-{number}", row["context"].strip(), row["completion"].strip(), metadata={"part": part})
            for number, row in enumerate(rows(path))
        ]


def _task(
    name: str,
    directory: str | Path | None,
    parts: tuple[str, ...],
    part: str | None,
    words: Format,
    shots: int,
    seed: int,
    max_new_tokens: int,
    chat: bool,
) -> Task:
    if part is not None and part not in parts:
        raise UsageError(f"The task {name} has no part {part!r}; its parts are {', '.join(parts)}.")
    asked = [sample for each in ((part,) if part else parts) for sample in read(directory, each)]
    examples = few_shot((), shots, test=asked, seed=seed, within="part")
    solver = generate(words, shots=examples, chat=chat, max_new_tokens=max_new_tokens)
    return Task(f"{name}/{part}" if part else name, asked, solver, match("exact"))

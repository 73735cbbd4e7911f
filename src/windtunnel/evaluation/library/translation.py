"""Translation of news, in the files of the Workshops on Machine Translation (WMT; GPT-3, section 3.4)."""

import html
import re
from pathlib import Path

from windtunnel.evaluation.answers import generate
from windtunnel.evaluation.bleu import BleuScorer
from windtunnel.evaluation.library.places import find, place, published
from windtunnel.evaluation.prompting import Format, few_shot
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.errors import UsageError

SOURCE = "statmt.org (test sets of WMT14 fr-en, WMT16 de-en and ro-en: newstest*-src.*.sgm and newstest*-ref.*.sgm)"

LANGUAGES = {"en": "English", "fr": "French", "de": "German", "ro": "Romanian"}

PARTS = ("en-fr", "fr-en", "en-de", "de-en", "en-ro", "ro-en")
"""Pairs of languages, from and to."""

_MARKS = re.compile(
    r'<doc\b[^>]*\bdocid="([^"]*)"|<seg\b[^>]*\bid="([^"]*)"[^>]*>(.*?)</seg>', re.IGNORECASE | re.DOTALL
)


def translation(
    directory: str | Path | None = None,
    *,
    part: str = "fr-en",
    format: Format | None = None,
    shots: int = 0,
    seed: int = 0,
    chat: bool = False,
    beams: int | None = None,
    max_new_tokens: int = 128,
) -> Task:
    """A test set of WMT: `bleu` of the whole, and `sentence_bleu`, by which models are compared.

    Args:
        directory: The folder of the data set.
        part: One of `PARTS`.
        format: Other words; by default the sentence and `=` after a line that says what to do.
        shots: Examples of other documents of the same set.
        seed: Of the examples.
        chat: Use the chat template.
        beams: Search with so many and a length penalty of 0.6, as GPT-3 did with 4; by default each token is the
            likeliest, as servers can do, too.
        max_new_tokens: Most tokens of a translation.

    Raises:
        UsageError: There is no such part.
    """
    asked = read(directory, part)
    source, target = (LANGUAGES[each] for each in part.split("-"))
    words = format or Format("{input} =", separator="\n", instruction=f"Translate {source} to {target}:\n")
    examples = few_shot((), shots, test=asked, seed=seed)
    solver = generate(words, shots=examples, chat=chat, beams=beams, max_new_tokens=max_new_tokens)
    return Task(f"translation/{part}", asked, solver, BleuScorer(), "sentence_bleu")


def read(directory: str | Path | None = None, part: str = "fr-en") -> list[Sample]:
    """The sentences of a test set; the cluster is the document.

    The names of WMT14's files say `fren` for both directions, so the pair is looked for in either order.

    Raises:
        UsageError: The data set is not there, or there is no such part.
        DataError: It is not in the published format.
    """
    if part not in PARTS:
        raise UsageError(f"The task translation has no part {part!r}; its parts are {', '.join(PARTS)}.")
    source, target = part.split("-")
    folder = place("translation", SOURCE, directory)
    pairs = (f"{source}{target}", f"{target}{source}")
    asked = find(folder, *(f"newstest*-{pair}-src.{source}.sgm" for pair in pairs))
    answers = find(folder, *(f"newstest*-{pair}-ref.{target}.sgm" for pair in pairs))
    with published(asked):
        told = _sentences(answers)
        return [
            Sample(f"{document}-{number}", text, (told[document, number],), cluster=document)
            for (document, number), text in _sentences(asked).items()
        ]


def _sentences(path: Path) -> dict[tuple[str, str], str]:
    """Sentences by document and number."""
    document, found = "", {}
    for mark in _MARKS.finditer(path.read_text(encoding="utf-8")):
        if mark[1] is not None:
            document = mark[1]
        else:
            found[document, mark[2]] = html.unescape(mark[3]).strip()
    if not found:
        raise ValueError("it has no <seg>")
    return found

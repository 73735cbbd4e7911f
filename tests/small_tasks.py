"""A task small enough for tests, also in processes of their own: capitals that a model is asked to repeat."""

from windtunnel.evaluation.tasks import Mark, Output, Sample, Task


class Ask:
    """Asks for a text."""

    def __call__(self, samples, models, seeds):
        found = models["subject"].generate([sample.input for sample in samples], seed=seeds, max_new_tokens=20)
        return [
            Output(prompt=str(sample.input), text=each.text, stop_reason=each.stop_reason)
            for sample, each in zip(samples, found, strict=True)
        ]

    def describe(self):
        return {"solver": "ask"}


class Match:
    """Whether the text is the target."""

    def __call__(self, samples, outputs, models):
        return [
            Mark({"accuracy": float(output.text == sample.target), "length": float(len(output.text))}, output.text)
            for sample, output in zip(samples, outputs, strict=True)
        ]

    def describe(self):
        return {"scorer": "match"}


def small_task(count=8, solver=None, scorer=None, **changes):
    """Questions whose right answers are A, B, C and D in turn."""
    samples = [
        Sample(f"q{number}", f"Question {number}?", "ABCD"[number % 4], metadata={"kind": ("odd", "even")[number % 2]})
        for number in range(count)
    ]
    return Task(
        **{"name": "small", "dataset": samples, "solver": solver or Ask(), "scorer": scorer or Match()} | changes
    )


def right(prompt):
    """The right answer to a question."""
    return "ABCD"[int("".join(filter(str.isdigit, prompt))) % 4]

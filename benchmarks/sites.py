"""What sites cost: a forward pass bare, after sites were used, and while all layers' residual streams are recorded.

The same model, one thread, the three in turns; the clock is the process's CPU time. What counts is the median over
rounds of each pass over the bare one beside it.

    python benchmarks/sites.py [--quick] [--json FILE]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

import windtunnel
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(
    layers=4, width=256, heads=4, context=512, vocabulary=2048, mlp_ratio=8 / 3,
    activation="swiglu", normalization="rmsnorm", positions="rotary",
)  # fmt: skip
RESIDUAL = "blocks.*.hook_resid_post"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    small = from_module(Transformer(CONFIG, torch.Generator().manual_seed(0)).eval())
    settings = [("4 layers of width 256, 8 x 128 tokens", small, 8, 128, 40)]
    settings += [("4 layers of width 256, 1 x 16 tokens", small, 1, 16, 400)]
    settings += [("SmolLM2-135M, 1 x 128 tokens", windtunnel.load("smollm2-135m"), 1, 128, 16)]
    rows = []
    for name, model, batch, length, rounds in settings:
        tokens = torch.randint(model.shape.vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))
        seconds = race(model, tokens, rounds // 4 if options.quick else rounds)
        bare = statistics.median(seconds["bare"])
        costs = {way: statistics.median(over(seconds[way], seconds["bare"])) for way in ("after use", "recording")}
        shown = "  ".join(f"{way} {cost:+.1%}" for way, cost in costs.items())
        print(f"{name:40s}bare {bare * 1e3:8.2f} ms  {shown}", flush=True)
        rows.append({"setting": name, "bare": bare, **costs})
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


def over(seconds: list[float], bare: list[float]) -> list[float]:
    """By how much each pass took longer than the bare one of its round."""
    return [ours / theirs - 1 for ours, theirs in zip(seconds, bare, strict=True)]


@torch.no_grad()
def race(model: LanguageModel, tokens: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """The CPU time of each way, in seconds, of every round in turns after one to warm up."""

    def recording() -> None:
        with model.record(RESIDUAL):
            model(tokens)

    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: model(tokens),
        "recording": recording,
        "after use": lambda: model(tokens),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, act in ways.items():
            began = time.process_time()
            act()
            if number:
                found[name].append(time.process_time() - began)
    return found


if __name__ == "__main__":
    main()

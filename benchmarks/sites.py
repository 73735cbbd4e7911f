"""What sites cost: a forward pass bare, after sites were used, and while all layers' residual streams are recorded.

The same model, one thread, the three in turns; the clock is the process's CPU time, and the best of the rounds counts.

    python benchmarks/sites.py [--quick] [--json FILE]
"""

import argparse
import json
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
    settings += [("SmolLM2-135M, 1 x 128 tokens", windtunnel.load("smollm2-135m"), 1, 128, 8)]
    rows = []
    for name, model, batch, length, rounds in settings:
        tokens = torch.randint(model.shape.vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))
        seconds = race(model, tokens, rounds // 4 if options.quick else rounds)
        bare = seconds["bare"]
        used, recording = seconds["after use"] / bare - 1, seconds["recording"] / bare - 1
        print(f"{name:40s}bare {bare * 1e3:8.2f} ms  after use {used:+.1%}  recording {recording:+.1%}", flush=True)
        rows.append({"setting": name, **seconds})
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


@torch.no_grad()
def race(model: LanguageModel, tokens: torch.Tensor, rounds: int) -> dict[str, float]:
    """The least CPU time of each way, in seconds, over rounds in turns after one to warm up."""

    def recording() -> None:
        with model.record(RESIDUAL):
            model(tokens)

    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: model(tokens),
        "recording": recording,
        "after use": lambda: model(tokens),
    }
    best = dict.fromkeys(ways, float("inf"))
    for number in range(rounds + 1):
        for name, act in ways.items():
            began = time.process_time()
            act()
            if number:
                best[name] = min(best[name], time.process_time() - began)
    return best


if __name__ == "__main__":
    main()

"""Toy models per minute: the bank with hand-written gradients against autograd, banked and one model at a time.

All train the same models (ReLU output, importance 0.9^i, densities 20^-linspace, AdamW, 1,024 samples per step) in
one process on one thread, in turns; the clock is the process's CPU time, and the least of the rounds counts.

    python benchmarks/toy_models.py [--quick] [--json FILE]
"""

import argparse
import json
import platform
import time

import torch

from windtunnel.data.worlds.sparse_features import SparseFeatures
from windtunnel.training.bank import train_bank

BATCH = 1_024


def ours(features: int, hidden: int, density: torch.Tensor, steps: int) -> None:
    """`windtunnel.training.bank`."""
    models = len(density)
    importance = (0.9 ** torch.arange(features)).expand(models, -1)
    data = SparseFeatures(density[:, None].expand(-1, features).contiguous())
    train_bank(
        "relu_output",
        data,
        hidden,
        importance=importance,
        seeds=range(models),
        steps=steps,
        batch=BATCH,
        evaluation_samples=1_024,
    )


def banked_autograd(features: int, hidden: int, density: torch.Tensor, steps: int) -> None:
    """The way of the public notebooks: one einsum over all instances, two draws per entry, AdamW."""
    models = len(density)
    generator = torch.Generator().manual_seed(0)
    weights = torch.nn.Parameter(torch.randn(models, features, hidden, generator=generator) * 0.5)
    bias = torch.nn.Parameter(torch.zeros(models, features))
    importance = 0.9 ** torch.arange(features)
    optimizer = torch.optim.AdamW([weights, bias], lr=1e-3)
    for _ in range(steps):
        present = torch.rand(BATCH, models, features, generator=generator) <= density[:, None]
        x = torch.rand(BATCH, models, features, generator=generator) * present
        squeezed = torch.einsum("bif,ifh->bih", x, weights)
        recovered = torch.relu(torch.einsum("bih,ifh->bif", squeezed, weights) + bias)
        loss = (importance * (x - recovered) ** 2).mean(dim=(0, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def one_at_a_time(features: int, hidden: int, density: torch.Tensor, steps: int) -> None:
    """A loop over models, each trained by itself."""
    for index in range(len(density)):
        banked_autograd(features, hidden, density[index : index + 1], steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and sizes")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sizes = (
        [(5, 2, 10, 400), (20, 5, 10, 200)]
        if options.quick
        else [(5, 2, 10, 1500), (10, 2, 10, 1000), (20, 5, 10, 600), (200, 20, 20, 40)]
    )
    rounds = 3 if options.quick else 5
    rows = []
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; CPU seconds per model and 10,000 steps")
    print(f"{'n':>4} {'m':>3} {'models':>6} {'ours':>8} {'banked autograd':>16} {'one at a time':>14} {'ratios':>14}")
    for features, hidden, models, steps in sizes:
        density = 20.0 ** -torch.linspace(0, 1, models)
        best: dict[str, float] = {}
        for variant in (ours, banked_autograd, one_at_a_time):  # each once, to warm up
            variant(features, hidden, density, 3)
        for _ in range(rounds):
            for variant in (ours, banked_autograd, one_at_a_time):
                began = time.process_time()
                variant(features, hidden, density, steps)
                spent = (time.process_time() - began) / steps * 10_000 / models
                best[variant.__name__] = min(best.get(variant.__name__, float("inf")), spent)
        ratios = [best[name] / best["ours"] for name in ("banked_autograd", "one_at_a_time")]
        rows.append({"features": features, "hidden": hidden, "models": models, "steps": steps, **best})
        print(
            f"{features:>4} {hidden:>3} {models:>6} {best['ours']:>8.2f} {best['banked_autograd']:>16.2f} "
            f"{best['one_at_a_time']:>14.2f} {ratios[0]:>6.2f} {ratios[1]:>6.2f}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()

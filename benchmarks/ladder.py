"""How much of the machine a ladder uses: exact training FLOPs against a large fp32 matrix product, in the same run.

A worker of one thread a core, as ladders are trained; all workers train at the same time, and the peak is that of all
workers multiplying at the same time. FLOPs count attention and the unembedding (`models.counting`), but no optimizer.

    python benchmarks/ladder.py [--quick] [--workers 2] [--json FILE]
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values
from windtunnel.scaling.ladder import climb
from windtunnel.scaling.material import gather
from windtunnel.scaling.rungs import LADDER, Rung, decoder

LARGE = (4, 256)
"""Layers and width of the model that the project's bar of 40 % is about."""

BAR = 0.4


def multiply(seconds: float) -> float:
    """FLOPs per second of fp32 products of 1,536 x 1,536 matrices, the best of rounds over so many seconds."""
    size, best = 1536, 0.0
    left, right = torch.randn(2, size, size)
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        left @ right
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    seconds = 2.0 if options.quick else 6.0
    peaks = values(sweep(multiply, [seconds] * options.workers, workers=options.workers))
    print(f"torch {torch.__version__}, {platform.machine()}, {options.workers} workers of one thread")
    print(f"matrix product, all at once: {sum(peaks) / 1e9:.0f} GFLOP/s")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        letters = np.random.default_rng(0).choice(list("abcdefgh \n"), 400_000)
        text.write_text("".join(letters))
        material = gather(Path(folder) / "tokens", str(text), (), tokens=300_000)
        for layers, width in (*LADDER[:7], LARGE):
            model = decoder(layers, width, context=128 if width == LARGE[1] else 64)
            steps = max(4, round((40 if options.quick else 160) / (1 + layers * width**2 / 2e4)))
            rungs = [  # one a worker, different only in their seed
                Rung.of(model, steps * 32 * model.context, evaluations=1, seed=seed) for seed in range(options.workers)
            ]
            run = Run(Path(folder) / f"{layers}x{width}", workers=options.workers)
            run.directory.mkdir()
            found = list(climb(rungs, material, run, rows=8, rows_on_curve=1).values())
            speed = sum(row.flops_per_second for row in found)
            row = {
                "layers": layers,
                "width": width,
                "parameters": found[0].parameters,
                "gflops_per_second": speed / 1e9,
                "tokens_per_second": sum(row.tokens / row.seconds for row in found),
                "utilisation": speed / sum(peaks),
            }
            rows.append(row)
            print(
                f"{layers} x {width}: {row['gflops_per_second']:6.1f} GFLOP/s, "
                f"{row['tokens_per_second']:9,.0f} tokens/s, {row['utilisation']:.0%} of the product",
                flush=True,
            )
    print(f"width {LARGE[1]}: {rows[-1]['utilisation']:.0%} (bar: {BAR:.0%})")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

"""Sampling speed: `windtunnel` against `transformers` `generate`, same weights, same numbers of tokens.

A Llama-like decoder of 4 layers and width 256 is drawn at random and given to both. Peers take turns in one process on
one thread; the clock is the process's CPU time, and the best of the rounds counts. Both sample at temperature 1 and
never stop early. In the mixed setting rows want different numbers of new tokens: `generate` goes on to the longest.

    python benchmarks/generation.py [--quick] [--json FILE]
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable

import torch

from windtunnel.models.huggingface import export
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(
    layers=4, width=256, heads=4, context=512, vocabulary=2048,
    activation="swiglu", normalization="rmsnorm", positions="rotary",
)  # fmt: skip
PROMPT = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and rounds")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    new, rounds = (64, 2) if options.quick else (128, 4)
    ours, theirs = models()
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; new tokens per CPU second")
    rows = []
    for batch in (1, 16, 64):
        prompts = torch.randint(3, CONFIG.vocabulary, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
        best = race(
            {
                "windtunnel": lambda prompts=prompts, batch=batch: ours.generate(
                    prompts.tolist(), max_new_tokens=new, batch_size=batch
                ),
                "transformers": lambda prompts=prompts: theirs.generate(
                    prompts, attention_mask=torch.ones_like(prompts), do_sample=True, max_new_tokens=new, top_k=0,
                    min_new_tokens=new, pad_token_id=0,
                ),
            },
            rounds,
        )  # fmt: skip
        speed = {peer: batch * new / seconds for peer, seconds in best.items()}
        ratio = speed["windtunnel"] / speed["transformers"]
        rows.append({"batch": batch, **speed, "ratio": ratio})
        print(
            f"batch {batch:3d}: " + "  ".join(f"{k} {v:,.0f}" for k, v in speed.items()) + f"  ratio {ratio:.2f}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


def models():
    """The same weights as a windtunnel model and as a transformers model."""
    from transformers import AutoModelForCausalLM

    module = Transformer(CONFIG, torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as directory:
        export(module, directory)
        theirs = AutoModelForCausalLM.from_pretrained(directory).eval()
    theirs.generation_config.eos_token_id = None
    return from_module(module), theirs


def race(peers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU time of each peer over rounds in turns, after one to warm up."""
    best = dict.fromkeys(peers, float("inf"))
    for number in range(rounds + 1):
        for name, act in peers.items():
            began = time.process_time()
            act()
            spent = time.process_time() - began
            if number:
                best[name] = min(best[name], spent)
    return best


if __name__ == "__main__":
    main()

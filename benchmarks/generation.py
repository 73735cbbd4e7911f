"""Sampling speed: `windtunnel` against `transformers` `generate`, same weights, same prompts, same numbers of tokens.

A Llama-like decoder of 4 layers and width 256, drawn at random, and SmolLM2-135M are given to both. Peers take turns in
one process on one thread; the clock is the process's CPU time. A round is one turn of each; speeds and ratios are
medians over rounds, so that a ratio compares runs made next to each other. All sample at temperature 1. With equal
lengths nobody stops early. With mixed lengths, rows end when they draw one of some end tokens (one in 64 of the small
decoder's vocabulary, one in 24 of SmolLM2's) and prompts have 8 to 24 tokens: `generate` pads prompts and goes on until
the last row of a batch has ended; each peer's tokens are those up to the end token.

    python benchmarks/generation.py [--quick] [--smollm] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable

import torch

import windtunnel
from windtunnel.models.huggingface import export
from windtunnel.models.interface import LanguageModel, from_module
from windtunnel.models.transformer import Transformer, TransformerConfig

CONFIG = TransformerConfig(
    layers=4, width=256, heads=4, context=512, vocabulary=2048, mlp_ratio=8 / 3,
    activation="swiglu", normalization="rmsnorm", positions="rotary",
)  # fmt: skip
PROMPT = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--smollm", action="store_true", help="SmolLM2-135M too (minutes)")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 3 if options.quick else 15
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; new tokens per CPU second")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = small(directory)
        for batch in (1, 16, 64):
            rows.append(report(f"4 layers, equal lengths, batch {batch}", equal(ours, theirs, batch, 64), rounds))
        rows.append(report("4 layers, mixed lengths, batch 16", mixed(ours, theirs, 128, 192, 64), rounds))
    if options.smollm:
        ours, theirs = smollm()
        rows.append(report("SmolLM2, equal lengths, batch 16", equal(ours, theirs, 16, 32), 3))
        rows.append(report("SmolLM2, mixed lengths, batch 16", mixed(ours, theirs, 48, 64, 24), 3))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


def small(directory: str) -> tuple[LanguageModel, object]:
    """The same random weights as a windtunnel model and as a transformers model."""
    from transformers import AutoModelForCausalLM

    module = Transformer(CONFIG, torch.Generator().manual_seed(0))
    export(module, directory)
    return from_module(module), AutoModelForCausalLM.from_pretrained(directory).eval()


def smollm() -> tuple[LanguageModel, object]:
    """SmolLM2, once with this package's attention and once as transformers has it."""
    import copy

    ours = windtunnel.load("smollm2-135m")
    theirs = copy.deepcopy(ours.module)
    theirs.set_attn_implementation("sdpa")
    return ours, theirs


def equal(ours: LanguageModel, theirs: object, batch: int, new: int) -> dict[str, Callable[[], int]]:
    """Prompts of one length, and as many new tokens for every row."""
    prompts = torch.randint(3, ours.shape.vocabulary, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
    ours.backend.ends = frozenset()
    ours.tokenizer = None

    def windtunnel_generate() -> int:
        samples = ours.generate(prompts.tolist(), max_new_tokens=new, batch_size=batch)
        return sum(len(sample.token_ids) for sample in samples)

    def transformers_generate() -> int:
        theirs.generation_config.eos_token_id = None
        mask = torch.ones_like(prompts)
        rows = theirs.generate(
            prompts, attention_mask=mask, do_sample=True, max_new_tokens=new, top_k=0, pad_token_id=0
        )
        return rows[:, PROMPT:].numel()

    return {"windtunnel": windtunnel_generate, "transformers": transformers_generate}


def mixed(ours: LanguageModel, theirs: object, count: int, new: int, every: int) -> dict[str, Callable[[], int]]:
    """Prompts of 8 to 24 tokens; each `every`-th token of the vocabulary ends a row; batches of 16."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = ours.shape.vocabulary
    stopping = list(range(every - 1, vocabulary, every))
    lengths = torch.randint(8, 25, (count,), generator=generator).tolist()
    prompts = [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]
    ours.backend.ends = frozenset(stopping)
    ours.tokenizer = None

    def windtunnel_generate() -> int:
        return sum(len(sample.token_ids) for sample in ours.generate(prompts, max_new_tokens=new, batch_size=16))

    def transformers_generate() -> int:
        theirs.generation_config.eos_token_id = stopping
        total = 0
        by_length = sorted(prompts, key=len)
        for start in range(0, count, 16):
            batch = by_length[start : start + 16]
            longest = max(map(len, batch))
            tokens = torch.tensor([[0] * (longest - len(row)) + row for row in batch])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch])
            rows = theirs.generate(
                tokens, attention_mask=mask, do_sample=True, max_new_tokens=new, top_k=0, pad_token_id=0
            )
            for row in rows[:, longest:].tolist():
                ended = [place for place, token in enumerate(row) if token in ours.backend.ends]
                total += ended[0] + 1 if ended else len(row)
        return total

    return {"windtunnel": windtunnel_generate, "transformers": transformers_generate}


def report(name: str, peers: dict[str, Callable[[], int]], rounds: int) -> dict[str, object]:
    """Tokens per CPU second of each peer and their ratio, medians over rounds in turns after one to warm up."""
    speeds: dict[str, list[float]] = {peer: [] for peer in peers}
    for number in range(rounds + 1):
        for peer, act in peers.items():
            torch.manual_seed(number)
            began = time.process_time()
            tokens = act()
            speed = tokens / (time.process_time() - began)
            if number or rounds == 1:
                speeds[peer].append(speed)
    ratios = sorted(ours / theirs for ours, theirs in zip(speeds["windtunnel"], speeds["transformers"], strict=True))
    medians = {peer: statistics.median(found) for peer, found in speeds.items()}
    ratio = statistics.median(ratios)
    shown = "  ".join(f"{peer} {speed:,.0f}" for peer, speed in medians.items())
    print(f"{name:36s}{shown}  ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)
    return {"setting": name, **medians, "ratio": ratio, "ratios": ratios}


if __name__ == "__main__":
    main()

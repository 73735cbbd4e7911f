"""Small decoders, and sampling and scoring done one row at a time without cache, padding or batch."""

import torch

from windtunnel.models.scratch import FromScratch
from windtunnel.models.transformer import Transformer, TransformerConfig


def decoder(seed: int = 0, vocabulary: int = 13, context: int = 32, **options) -> FromScratch:
    config = TransformerConfig(
        vocabulary=vocabulary, context=context, layers=2, width=16, heads=4, embedding_scale=1.0, **options
    )
    return FromScratch(Transformer(config, torch.Generator().manual_seed(seed)).eval())


def prompts(rows: int = 7, vocabulary: int = 13) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 12, (rows,), generator=generator).tolist()
    return [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def next_logprobs(model: FromScratch, row: list[int]) -> torch.Tensor:
    return model.module(torch.tensor([row]))[0, -1].double().log_softmax(-1)


def greedy(model: FromScratch, prompt: list[int], steps: int) -> list[int]:
    row = list(prompt)
    for _ in range(steps):
        row.append(int(next_logprobs(model, row).argmax()))
    return row[len(prompt) :]


def score(model: FromScratch, prompt: list[int], continuation: list[int]) -> list[float]:
    row, logprobs = list(prompt), []
    for token in continuation:
        logprobs.append(float(next_logprobs(model, row)[token]))
        row.append(token)
    return logprobs

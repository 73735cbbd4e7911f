"""Text models of one recipe: loss over compute, a filtered crawl, and a training mix."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from windtunnel.data.corpora import documents
from windtunnel.data.mixing import Mix
from windtunnel.data.packing import PackedSource, TokenFile, write_tokens
from windtunnel.data.quality import QualityFilter, pareto_keep
from windtunnel.data.sources import Source
from windtunnel.data.tokenizers import BytePairTokenizer
from windtunnel.data.tokenizers import load as load_tokenizer
from windtunnel.data.worlds.shuffled import Shuffled
from windtunnel.interpretability.heads.growth import over_seeds
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.sweeps import sweep, values
from windtunnel.models.counting import count_parameters, training_flops
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.statistics.estimates import Estimate
from windtunnel.studies.few_shot_learning import figures
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

PROSE_WEIGHT = 0.6
"""Of the mix: prose is seen more often than its size would have it, as the paper weighs its curated sets."""

PIECE = 5_000
"""Most characters of a document of the crawl; longer ones are cut, so that the kinds mix."""

LEARNED = 0.2
"""Nats below the loss of the frequencies of tokens from which the largest model has learned more than these."""

SEEDS = 2
"""Models of each of the corpora that are compared."""


@dataclass(frozen=True)
class TextModel:
    """One model to train.

    Attributes:
        corpus: `prose`, `crawl`, `filtered`, or a mix of prose and crawl: `by size` or `weighted`.
        width: Of the residual stream.
        number: Which seed.
        config: The study's.
        directory: Of the token files.
        run: The model's own.
    """

    corpus: str
    width: int
    number: int
    config: "Config"
    directory: Path
    run: Run


@dataclass(frozen=True)
class PowerOfCompute:
    """A straight line of log loss over log compute.

    Attributes:
        slope: The exponent.
        intercept: Log of the scale.
        exponent: The slope with Student's interval.
    """

    slope: float
    intercept: float
    exponent: Estimate


def study_text(config: "Config", run: Run) -> None:
    """Write the corpora, train the models, compare their losses on held-out prose.

    The null: the ladder learns from shuffled tokens, the filter from two samples of the crawl that differ in nothing,
    and the mix's prose is crawl as well.
    """
    directory = run.directory / "text"
    run.section("Text models", "Prose of installed packages and a crawl in which it is mixed with program code.")
    run.note("writing prose and crawl")
    kept = run.stage("corpora", lambda: write_corpora(config, directory, run))
    run.table("filter", kept["rows"], "Documents of the crawl by kind: what the filter thinks of them, and keeps.")
    models = [
        TextModel("prose", width, 0, config, directory, _child(run, "prose", width, 0)) for width in config.text_widths
    ]
    models += [
        TextModel(corpus, config.mix_width, number, config, directory, _child(run, corpus, config.mix_width, number))
        for corpus in ("crawl", "filtered", "by size", "weighted")
        for number in range(SEEDS)
    ]
    models.sort(key=lambda model: -model.width)
    backend = "processes" if run.workers > 1 else "in-process"
    with run.watch([model.run for model in models]):
        found = values(sweep(train_text, models, backend=backend, workers=run.workers))  # type: ignore[arg-type]
    pairs = list(zip(models, found, strict=True))
    ladder = sorted((row for model, row in pairs if model.corpus == "prose"), key=lambda row: row["flops"])
    by_corpus = {
        corpus: [row["loss"] for model, row in sorted(pairs, key=lambda pair: pair[0].number) if model.corpus == corpus]
        for corpus in ("crawl", "filtered", "by size", "weighted")
    }
    fit = power_of_compute(ladder)
    names = {"crawl": "crawl", "filtered": "crawl, filtered", "by size": "mix by size", "weighted": "mix weighted"}
    figures.show_text({names[corpus]: losses for corpus, losses in by_corpus.items()}, ladder, fit, run)
    frequencies = kept["frequencies"]
    if ladder[-1]["loss"] > frequencies - LEARNED:
        note = f"Losses follow any law where nothing but frequencies ({frequencies:.3f} nats) was learned."
        run.conclude("loss-over-compute", note=note)
    else:
        note = "Over sizes, each trained on as many tokens; the paper's exponent over its 14 models is −0.048."
        run.conclude("loss-over-compute", fit.exponent, evidence="text", note=note)
    note = f"Held-out prose, width {config.mix_width}, equal tokens; interval: range over seeds."
    for claim, one, other in (("quality-filter", "crawl", "filtered"), ("mix", "by size", "weighted")):
        gaps = [a - b for a, b in zip(by_corpus[one], by_corpus[other], strict=True)]
        run.conclude(claim, over_seeds(gaps), evidence="text", note=note)


def _child(run: Run, corpus: str, width: int, number: int) -> Run:
    return run.child(f"text-{corpus.replace(' ', '-')}-{width}-seed-{number}")


def write_corpora(config: "Config", directory: Path, run: Run) -> dict[str, Any]:
    """Write the token files; tell what the filter kept of each kind, and the loss of who knows but frequencies."""
    english = documents("offline-english")
    prose = pieces(english, config.reference_characters)
    good = pieces(english, round(config.crawl_characters * config.good_share))
    code = pieces(documents("offline-python"), round(config.crawl_characters * (1 - config.good_share)))
    held_out = pieces(documents("offline-english", split="test"), config.test_rows * config.context * 6)
    order = run.generator("crawl").permutation(len(good) + len(code))
    crawl, is_prose = [(good + code)[place] for place in order], order < len(good)
    curated = prose
    if run.null:  # nothing tells the two samples apart, and the better source is not better
        curated, crawl, is_prose = crawl[::2], crawl[1::2], is_prose[1::2]
    quality = QualityFilter.fit(curated, crawl[: len(curated)])
    scores = quality.score(crawl)
    kept = pareto_keep(scores, run.generator("keep"))
    filtered = [text for text, one in zip(crawl, kept, strict=True) if one]
    if not (directory / "tokenizer.json").exists():
        BytePairTokenizer.train(chain(islice(prose, 500), islice(crawl, 500)), config.vocabulary).save(directory)
    tokenizer = load_tokenizer(directory)
    parts = {"prose": curated, "learned": prose, "crawl": crawl, "filtered": filtered, "test": held_out}
    for name, texts in parts.items():
        if not (directory / name).exists():
            write_tokens(directory / name, texts, tokenizer)
    rows = []
    for kind, mask in (("prose", is_prose), ("program code", ~is_prose)):
        if mask.any():
            rows.append(
                {
                    "kind": kind,
                    "documents": int(mask.sum()),
                    "mean score": float(scores[mask].mean()),
                    "kept": int(kept[mask].sum()),
                    "share kept": float(kept[mask].mean()),
                }
            )
    counts = TokenFile.open(directory / "learned").counts().double() + 1
    frequencies = -(counts / counts.sum()).log()[
        torch.from_numpy(TokenFile.open(directory / "test").tokens[:].astype(int))
    ]
    return {"rows": rows, "frequencies": float(frequencies.mean())}


def pieces(texts: Iterable[str], characters: int) -> list[str]:
    """Documents cut into pieces, up to a number of characters in all; the rest of the stream stays unread."""
    found: list[str] = []
    total = 0
    for text in texts:
        for start in range(0, len(text), PIECE):
            found.append(text[start : start + PIECE])
            total += len(found[-1])
        if total >= characters:
            break
    return found


def train_text(model: TextModel) -> dict[str, Any]:
    """Train one model and measure its loss on held-out prose; a finished one is read back."""
    return model.run.stage("measured", lambda: _train_text(model))


def _train_text(model: TextModel) -> dict[str, Any]:
    config, run = model.config, model.run
    source = source_of(model)
    shape = TransformerConfig(
        vocabulary=source.vocabulary,
        context=config.context,
        layers=2,
        width=model.width,
        heads=max(model.width // 16, 1),
        positions="rotary",
        embedding_scale=0.1,
    )
    training = TrainingConfig(
        steps=config.text_steps,
        batch_size=config.text_batch,
        learning_rate=config.text_learning_rate,
        warmup_steps=min(50, config.text_steps // 4),
        weight_decay=0.0,
        precision="fp32" if run.device == "cpu" else "auto",
        seed=run.seed,
    )
    decoder = Transformer(shape, torch.Generator().manual_seed(run.seed))
    train(decoder, next_token, source, training, run=run, device=run.device)
    held_out = PackedSource(TokenFile.open(model.directory / "test"), config.context, 0)
    rows = held_out.rows(0, min(config.test_rows, held_out.epoch))
    with torch.no_grad():
        total, count = next_token(decoder, {name: value.to(run.device) for name, value in rows.items()})
    return {
        "loss": float(total / count),
        "parameters": count_parameters(shape).non_embedding,
        "flops": float(training_flops(shape) * config.context * config.text_batch * config.text_steps),
    }


def source_of(model: TextModel) -> Source:
    """What a model learns from."""
    config, seed = model.config, model.run.seed

    def packed(name: str) -> PackedSource:
        return PackedSource(TokenFile.open(model.directory / name), config.context, seed, boundaries=False)

    if model.corpus == "prose":
        return Shuffled(packed("learned"), seed) if model.run.null else packed("learned")
    if model.corpus in ("crawl", "filtered"):
        return packed(model.corpus)
    sources = {name: packed(name) for name in ("prose", "crawl")}
    share = sources["prose"].epoch / sum(source.epoch for source in sources.values())
    weight = PROSE_WEIGHT if model.corpus == "weighted" else share
    weights: Mapping[str, float] = {"prose": weight, "crawl": 1 - weight}
    return Mix(sources, weights, seed)


def power_of_compute(ladder: Sequence[Mapping[str, float]]) -> PowerOfCompute:
    """Least squares of log loss on log compute, with Student's interval of the exponent."""
    from scipy.stats import linregress, t

    fit = linregress(np.log([row["flops"] for row in ladder]), np.log([row["loss"] for row in ladder]))
    half = float(t.ppf(0.975, len(ladder) - 2)) * float(fit.stderr)
    slope = float(fit.slope)
    return PowerOfCompute(slope, float(fit.intercept), Estimate(slope, slope - half, slope + half))

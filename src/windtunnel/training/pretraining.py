"""Training a language model from scratch on a corpus, from the text to a checkpoint that loads by its path."""

from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import nn

from windtunnel.data.corpora import documents
from windtunnel.data.packing import PackedSource
from windtunnel.data.preparation import prepare
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import TrainingResult, train
from windtunnel.training.objectives import next_token

LLAMA_LIKE: dict[str, Any] = {"activation": "swiglu", "normalization": "rmsnorm", "positions": "rotary"}


class Pretraining(StudyConfig):
    """What is trained, and on what."""

    corpus: str = Field("offline-english", description="file, directory, hub name, offline-english or offline-python")
    field: str = Field("text", description="field of structured files that holds the text")
    vocabulary: int = Field(4_096, ge=259, description="token types, learned from the corpus")
    architecture: Literal["gpt2", "llama"] = Field("llama", description="which family's kind of decoder")
    layers: int = Field(4, ge=1, description="transformer blocks")
    width: int = Field(256, ge=1, description="width of the residual stream")
    heads: int = Field(4, ge=1, description="heads per layer")
    context: int = Field(256, ge=2, description="tokens")
    test_rows: int = Field(64, ge=1, description="held-out rows on which the test loss is taken")
    training: TrainingConfig = Field(
        TrainingConfig(evaluate_every=250, checkpoint_every=250), description="settings of the loop"
    )

    @model_validator(mode="after")
    def _has_a_shape(self) -> Self:
        try:
            self.shape(self.vocabulary)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self

    def shape(self, vocabulary: int) -> TransformerConfig:
        """The decoder, for a vocabulary of so many token types."""
        return TransformerConfig(
            vocabulary=vocabulary,
            context=self.context,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            tied_embeddings=True,
            **(LLAMA_LIKE if self.architecture == "llama" else {}),
        )


def open_run(
    config: Pretraining, directory: str | Path, *, device: str = "cpu", resume: bool = False, progress: str = "silent"
) -> Run:
    """A run that holds its directory and says in `config.json` what is trained.

    Raises:
        UsageError: The directory holds another run, or holds this one and `resume` is False; or there is no such
            corpus.
    """
    documents(config.corpus, field=config.field)  # so that a misspelt path leaves no run behind
    run = Run(directory, seed=config.seed, device=device, progress=progress)
    identity = {"study": "train", "preset": None, "model": None, "seed": config.seed, "null": False}
    run.open({**identity, "config": config.model_dump(mode="json")}, resume=resume)
    return run


def pretrain(config: Pretraining, run: Run) -> TrainingResult:
    """Tokenise the corpus, train a decoder on it, and hold it against other documents.

    Everything is kept in the run's directory, from which `load` reads the model with its tokenizer; a run that was
    killed continues there. Rows stop attention at the boundaries of documents.

    Returns:
        The training; each of its `evaluations` has `test_loss` in nats per token.

    Raises:
        UsageError: The corpus is not there, or the context is longer than it.
        DataError: The corpus cannot be read.
    """
    run.note(f"reading and tokenising {config.corpus} (once; the offline English takes minutes)")
    corpus = prepare(config.corpus, run.directory / "corpus", config.vocabulary, field=config.field)
    module = Transformer(
        config.shape(corpus.tokenizer.vocabulary), torch.Generator().manual_seed(run.seed_for("weights"))
    )
    test = PackedSource(corpus.test, config.context, run.seed_for("test"))
    held_out = {name: rows.to(run.device) for name, rows in test.rows(0, min(config.test_rows, test.epoch)).items()}

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        total, count = next_token(model, held_out)
        return {"test_loss": float(total / count)}

    return train(
        module,
        next_token,
        PackedSource(corpus.train, config.context, run.seed_for("order")),
        config.training,
        run=run,
        evaluate=evaluate,
        device=run.device,
        tokenizer=corpus.tokenizer,
    )

"""LanguageModel: the one protocol through which everything above studies a model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from windtunnel.inference import generation, scoring
from windtunnel.inference.beams import Beams, beam_search
from windtunnel.inference.decoder import Codec, Decoder
from windtunnel.inference.endings import Sample
from windtunnel.inference.generation import Step
from windtunnel.inference.sampling import Sampling
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models import sites
from windtunnel.models.hardware import Probe
from windtunnel.models.scratch import FromScratch
from windtunnel.models.shape import AttentionWeights, Shape
from windtunnel.models.sites import Intervention, Placed
from windtunnel.models.tokenization import Message, encode_once
from windtunnel.models.transformer import Transformer

__all__ = ["LanguageModel", "Sample", "Score", "Shape", "from_module", "load"]

Prompt = str | Sequence[int] | Tensor
"""A text, or token ids taken as they are."""


class Backend(Decoder, sites.Tappable, Protocol):
    """What a kind of model provides: a decoder, sites and weights."""

    module: Any
    shape: Shape
    ends: frozenset[int]

    def attention_weights(self, layer: int) -> AttentionWeights:
        """Weights of one layer by head."""

    def normalization(self, layer: int | None) -> nn.Module:
        """The normalisation before a layer's attention, or the last one."""

    def embedding(self) -> Tensor:
        """Token embeddings, [vocabulary, width]."""

    def unembedding(self) -> Tensor:
        """Unembedding, [width, vocabulary]."""


class LanguageModel:
    """A model under study, wherever it came from.

    Attributes:
        name: What reports call it.
        tokenizer: Text to token ids and back, or None for a model over bare token ids.
        backend: The decoder behind it.
        probe: The dtype and number of threads it was loaded with, and what was measured to choose them.
        used: What it was asked for so far: `score`, `generate`.
    """

    probe: Probe | None = None

    def __init__(self, backend: Backend, tokenizer: Codec | None, name: str) -> None:
        self.backend = backend
        self.tokenizer = tokenizer
        self.name = name
        self.used: set[str] = set()

    @property
    def module(self) -> nn.Module:
        """The torch module."""
        module: nn.Module = self.backend.module
        return module

    @property
    def shape(self) -> Shape:
        """Layers, width, heads, key-value heads, head width, vocabulary and context."""
        return self.backend.shape

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backend.device

    @property
    def sites(self) -> list[str]:
        """Names of the activations that can be read and rewritten, in the order of the forward pass."""
        return list(self.backend.sites)

    def __call__(
        self,
        tokens: Int[Tensor, "batch position"] | Sequence[int],
        mask: Bool[Tensor, "batch position"] | None = None,
    ) -> Float[Tensor, "batch position vocabulary"]:
        """Next-token logits.

        Args:
            tokens: Token ids; those of a single text may come as `tokenize` gives them, and are a batch of one.
            mask: True at real tokens; padding on either side changes nothing at real tokens.

        Raises:
            UsageError: The sequence is longer than the context, or the shapes are not [batch, position].
        """
        if not isinstance(tokens, Tensor):
            if not all(isinstance(token, int) for token in tokens):
                raise UsageError("Tokens must be a tensor of ids, or the ids of one text as tokenize() gives them.")
            tokens = torch.tensor([tokens])
        if tokens.ndim != 2 or (mask is not None and mask.shape != tokens.shape):
            shapes = f"{tuple(tokens.shape)}" + ("" if mask is None else f" and a mask of {tuple(mask.shape)}")
            raise UsageError(f"Tokens must be [batch, position], and a mask alike, not {shapes}.")
        if mask is not None:
            mask = None if bool(mask.all()) else mask.to(self.device, torch.bool)
        return self.backend.logits(tokens.to(self.device), mask)

    def record(self, *names: str) -> AbstractContextManager[dict[str, Tensor]]:
        """Read activations of the forward passes run inside the `with` block.

            with model.record("blocks.5.hook_resid_post") as activations:
                model(tokens)
            activations["blocks.5.hook_resid_post"]

        Each name holds the activation of the last forward pass that reached it: read the dictionary after each pass
        if several are made. Tensors are the model's own, attached to the graph where gradients are on: do not edit
        them. What interventions wrote is what is recorded, whichever context was entered first. Reading changes
        nothing, bit for bit. Shell-style patterns (`blocks.*.attn.hook_pattern`) name several sites.

        Raises:
            UsageError: An unknown name; or, on leaving, a site that was never reached.
            Unsupported: The architecture has no map of sites.
        """
        return sites.record(self.backend, names)

    def intervene(self, interventions: Mapping[str, Intervention | Placed]) -> AbstractContextManager[None]:
        """Rewrite activations in the forward passes run inside the `with` block.

        Each function is given a copy of the activation and returns a tensor of the same shape, dtype and device, or
        None to change nothing; `models.interventions` has ready ones, for chosen positions and heads. Contexts nest:
        functions at one site run in the order in which they were entered. All is restored on leaving, also after an
        exception.

        Raises:
            UsageError: An unknown name, or a result of another shape, dtype or device; or, on leaving, a site that
                was never reached.
            Unsupported: The architecture has no map of sites.
        """
        return sites.intervene(self.backend, interventions)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, with the special tokens the tokenizer adds by default.

        Raises:
            Unsupported: The model has no tokenizer.
            UsageError: The text would begin with two BOS tokens.
        """
        return encode_once(self._codec(), text)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt], *, batch_size: int = 16) -> list[Score]:
        """Log-probability of each continuation after its prompt, in nats.

        Two texts are tokenised jointly (see `inference.scoring.encode_pair`); token ids are taken as they are.

        Raises:
            UsageError: Not one continuation per prompt, one is text and the other token ids, or a pair is longer
                than the context.
        """
        if isinstance(prompts, str) or isinstance(continuations, str) or len(prompts) != len(continuations):
            raise UsageError("score needs a list of prompts and a list of as many continuations.")
        self.used.add("score")
        pairs = [self._pair(prompt, after) for prompt, after in zip(prompts, continuations, strict=True)]
        with _evaluating(self.module):
            return scoring.score(self.backend, pairs, batch_size=batch_size)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: Sequence[str] = (),
        samples_per_prompt: int = 1,
        seed: int | Sequence[int] = 0,
        batch_size: int = 16,
    ) -> list[Sample]:
        """Sample continuations of each prompt.

        Args:
            prompts: Texts or token ids.
            max_new_tokens: Most tokens per row.
            temperature: Divides the logits; 0 is greedy.
            top_k: Keep the k most probable tokens.
            top_p: Then keep the most probable tokens up to this total probability.
            min_p: Keep tokens at least this share as probable as the most probable one.
            stop: Strings that end a row.
            samples_per_prompt: Continuations of each prompt, which is computed once for all of them.
            seed: One seed per row, or one from which row i's seed is derived. A row depends on its own prompt and
                seed only, not on its batch.
            batch_size: Rows sampled together.

        Returns:
            All samples of the first prompt, then all of the second, and so on.

        Raises:
            UsageError: A value is out of range, or prompt and new tokens are longer than the context.
        """
        if isinstance(prompts, str):
            raise UsageError("generate needs a list of prompts; put the text in a list.")
        if samples_per_prompt < 1:
            raise UsageError(f"samples_per_prompt must be at least 1, not {samples_per_prompt}.")
        rows = [row for prompt in prompts for row in [self._prompt(prompt)] * samples_per_prompt]
        seeds = row_seeds(int(seed), len(rows)) if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != len(rows):
            raise UsageError(f"{len(seeds)} seeds were given for {len(rows)} rows; give one each, or one number.")
        if isinstance(stop, str):
            raise UsageError("stop needs a list of strings; put the string in a list.")
        self.used.add("generate")
        sampling = Sampling(max_new_tokens, temperature, top_k, top_p, min_p, tuple(stop))
        with _evaluating(self.module):
            return generation.generate(
                self.backend, rows, sampling, seeds=seeds, batch_size=batch_size, **self._ending()
            )

    def beam_search(
        self,
        prompts: Sequence[Prompt],
        *,
        beams: int = 4,
        length_penalty: float = 0.6,
        max_new_tokens: int = 64,
        stop: Sequence[str] = (),
        batch_size: int = 16,
    ) -> list[Sample]:
        """The best continuation of each prompt that a beam search finds.

        Args:
            prompts: Texts or token ids.
            beams: Unfinished continuations kept at each length.
            length_penalty: The exponent by which length is weighed; see `inference.beams.Beams`.
            max_new_tokens: Most tokens per row.
            stop: Strings that end a continuation.
            batch_size: Rows computed together, beams counted.

        Raises:
            UsageError: A value is out of range, or prompt and new tokens are longer than the context.
        """
        if isinstance(prompts, str) or isinstance(stop, str):
            raise UsageError("beam_search needs lists of prompts and stop strings; put the text in a list.")
        settings = Beams(max_new_tokens, beams, length_penalty, tuple(stop))
        rows = [self._prompt(prompt) for prompt in prompts]
        self.used.add("generate")
        with _evaluating(self.module):
            return beam_search(self.backend, rows, settings, batch_size=batch_size, **self._ending())

    def sampling_gap(self, prompts: Sequence[Prompt], *, max_new_tokens: int = 8, seed: int = 0) -> float:
        """By how many nats sampling and scoring differ at most on the same tokens: rounding, or something is wrong.

        Args:
            prompts: Texts or token ids; a few are enough.
            max_new_tokens: Tokens sampled after each, and scored.
            seed: Of the samples.
        """
        ids = [self._prompt(prompt) for prompt in prompts]
        samples = self.generate(ids, max_new_tokens=max_new_tokens, seed=seed)
        scores = self.score(ids, [sample.token_ids for sample in samples])
        sampled = [logprob for sample in samples for logprob in sample.token_logprobs]
        scored = [logprob for score in scores for logprob in score.token_logprobs]
        return max(abs(one - other) for one, other in zip(sampled, scored, strict=True))

    def stream(self, prompt: Prompt, *, seed: int = 0, **options: Any) -> Iterator[Step]:
        """Sample one continuation token by token: the same tokens as `generate([prompt], seed=[seed])`.

        Args:
            prompt: A text or token ids.
            seed: The row's seed.
            **options: `max_new_tokens`, `temperature`, `top_k`, `top_p`, `min_p` and `stop`, as for `generate`.

        Raises:
            UsageError: As for `generate`.
        """
        sampling = Sampling(**{**options, "stop": tuple(options.get("stop", ()))})
        steps = generation.stream(self.backend, [self._prompt(prompt)], sampling, seeds=[seed], **self._ending())
        while True:
            with _evaluating(self.module):
                step = next(steps, None)
            if step is None:
                return
            yield step

    def chat(self, messages: Sequence[Message], **options: Any) -> Sample:
        """The assistant's next turn of one conversation, by the model's own chat template; see `chats`."""
        return self.chats([messages], **options)[0]

    def chats(self, conversations: Sequence[Sequence[Message]], **options: Any) -> list[Sample]:
        """The assistant's next turn of each conversation, by the model's own chat template.

        Args:
            conversations: Each a list of turns, `{"role": ..., "content": ...}`.
            **options: As for `generate`.

        Raises:
            Unsupported: The model has no chat template.
        """
        codec = self._codec()
        encode_chat = getattr(codec, "encode_chat", None)
        if encode_chat is None:
            raise Unsupported(f"{self.name} has no chat template, so it is not a chat model; use generate instead.")
        return self.generate([encode_chat(messages) for messages in conversations], **options)

    def _ending(self) -> dict[str, Any]:
        """What ends a row, and how its text is made."""
        codec = self.tokenizer
        ends = set(self.backend.ends)
        if codec is not None and codec.eos is not None:
            ends.add(codec.eos)
        return {"ends": ends, "decode": None if codec is None else codec.decode}

    def _codec(self) -> Codec:
        if self.tokenizer is None:
            raise Unsupported(f"{self.name} has no tokenizer; pass token ids, or load it with one.")
        return self.tokenizer

    def _prompt(self, prompt: Prompt) -> list[int]:
        if not isinstance(prompt, str):
            return self._ids(prompt)
        ids = self.tokenize(prompt)
        if not ids:
            bos = self._codec().bos
            ids = [] if bos is None else [bos]
        return ids

    def _pair(self, prompt: Prompt, continuation: Prompt) -> tuple[list[int], list[int]]:
        if isinstance(prompt, str) and isinstance(continuation, str):
            codec = self._codec()
            encode_once(codec, prompt)
            return scoring.encode_pair(codec, prompt, continuation)
        if isinstance(prompt, str) or isinstance(continuation, str):
            raise UsageError("A prompt and its continuation must both be text or both be token ids.")
        return self._ids(prompt), self._ids(continuation)

    def _ids(self, tokens: Sequence[int] | Tensor) -> list[int]:
        ids = [int(token) for token in (tokens.tolist() if isinstance(tokens, Tensor) else tokens)]
        wrong = [token for token in ids if not 0 <= token < self.shape.vocabulary]
        if wrong:
            raise UsageError(
                f"Token {wrong[0]} is not in the vocabulary of {self.name} (0 to {self.shape.vocabulary - 1})."
            )
        return ids


def row_seeds(seed: int, rows: int) -> list[int]:
    """Seeds of a batch's rows, derived from one seed and the row's place."""
    return [int(np.random.SeedSequence((seed, row)).generate_state(1, np.uint64)[0]) for row in range(rows)]


def from_module(module: Transformer, tokenizer: Codec | None = None, name: str = "from-scratch") -> LanguageModel:
    """Study a decoder that is held in memory; training it further shows here at once."""
    return LanguageModel(FromScratch(module), tokenizer, name)


def load(
    name: str | Path, *, device: str = "cpu", dtype: str = "auto", threads: int | str | None = None
) -> LanguageModel:
    """Load a model by name.

    Args:
        name: `smollm2-135m`; a Hugging Face or windtunnel checkpoint directory; a run's directory (its newest
            checkpoint); a LoRA adapter's directory, which names its base model; a `.gguf` file; a name on the Hugging
            Face hub; or `openai:MODEL@URL`, a model behind an OpenAI-compatible server (for its cache and budget see
            `models.endpoint.connect`).
        device: Torch device.
        dtype: `float32`, `bfloat16`, `float16` or `float64`; `auto`: that of the checkpoint, except that on a CPU
            half precision is kept only where a short measurement finds it faster than single precision.
        threads: Threads of torch on a CPU, for this process from now on; `auto`: as many as a short measurement finds
            fastest; None: as they are. What was measured and chosen is in the model's `probe`, and logged.

    Raises:
        UsageError: The name means nothing.
        DataError: The files are missing, cut short or of an unknown kind.
    """
    from windtunnel.models.loading import load as load_from

    return load_from(str(name), device=device, dtype=dtype, threads=threads)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout off inside, as it was afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)

"""Tokenizers of transformers checkpoints, behind the interface that every tokenizer here has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from windtunnel.inference.decoder import Codec
from windtunnel.laboratory.errors import Unsupported, UsageError

Message = Mapping[str, str]
"""One turn of a conversation: `{"role": "user" | "assistant" | "system", "content": text}`."""


class PretrainedTokenizer:
    """A transformers tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = len(tokenizer)
        self.bos: int | None = tokenizer.bos_token_id
        self.eos: int | None = tokenizer.eos_token_id
        self.pad: int | None = tokenizer.pad_token_id

    def encode(self, text: str) -> list[int]:
        """Token ids, with the special tokens that this tokenizer adds by default."""
        return list(self.tokenizer.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation up to where the assistant speaks next, by the model's own chat template.

        Raises:
            Unsupported: The tokenizer has no chat template.
            UsageError: The template refuses the conversation.
        """
        if not self.tokenizer.chat_template:
            raise Unsupported("This model has no chat template, so it is not a chat model; use generate instead.")
        try:
            return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise UsageError(f"The chat template refuses this conversation ({error}); change its turns.") from error

    def encode_rendered(self, text: str) -> list[int]:
        """Token ids of a rendered conversation, in which the template has written the special tokens.

        Raises:
            UsageError: A message begins with the BOS token that the template also writes.
        """
        ids = list(self.tokenizer.encode(text, add_special_tokens=False))
        if self.bos is not None and ids[:2] == [self.bos, self.bos]:
            raise UsageError(
                "The conversation begins with the BOS token that the chat template also writes, so the model would "
                "see two; remove it from the first message."
            )
        return ids

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to where the assistant speaks next; errors as for `render` and its tokens."""
        return self.encode_rendered(self.render(messages))

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer's files."""
        self.tokenizer.save_pretrained(directory)


def encode_once(codec: Codec, text: str) -> list[int]:
    """Token ids of a text.

    Raises:
        UsageError: The text begins with the first token (BOS) that the tokenizer adds too, so it would come twice.
    """
    ids = codec.encode(text)
    if codec.bos is not None and ids[:2] == [codec.bos, codec.bos]:
        raise UsageError(
            f"The text {text[:40]!r} begins with the BOS token that the tokenizer also adds, so the model would see "
            "two; remove it from the text."
        )
    return ids

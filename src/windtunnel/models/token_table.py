"""What a model is given, token by token: text, the role that wrote it, and what a score counts.

Roles are found by asking the chat template itself: a conversation is rendered again with one message's content replaced
by a word that occurs nowhere else. Where that word appears, and all around it stays as it was, stands the content; all
else (markers, a system message that the template adds) is the template's. A template that treats the word differently
than the content gives no such place, and then the content counts as the template's too: nothing is guessed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from windtunnel.inference.decoder import Codec
from windtunnel.inference.scoring import encode_pair
from windtunnel.laboratory.errors import Unsupported, UsageError
from windtunnel.models.interface import LanguageModel
from windtunnel.models.tokenization import Message, PretrainedTokenizer

TEMPLATE = "template"
"""Role of what no message says."""

NEXT = "assistant"
"""Role of a continuation of a conversation: the template has just given it the word."""

SPACE = "␣"
"""How `visible` writes a space."""

Mask = Literal["conditioned on", "scored"]


@dataclass(frozen=True)
class TokenRow:
    """One token that a model is given.

    Attributes:
        position: Its place, from 0.
        token_id: Its id.
        text: What it decodes to alone, exactly; U+FFFD stands for bytes that are only a part of a character.
        role: In a conversation, the role of the message that says it, or `template`; where a token holds characters of
            both, both in order (`template+user`). None outside conversations.
        special: Whether the tokenizer holds it for a control token (BOS, end of turn ...).
        mask: Given a continuation, whether the token is `scored` or only `conditioned on`; else None.
    """

    position: int
    token_id: int
    text: str
    role: str | None
    special: bool
    mask: Mask | None


def text_rows(model: LanguageModel, text: str, continuation: str | None = None) -> list[TokenRow]:
    """The tokens of a text, as `tokenize` gives them; with a continuation, those that `score` is given.

    Raises:
        Unsupported: The model has no tokenizer.
        UsageError: The text would begin with two BOS tokens, no token is left to condition on, or a text is not
            Unicode.
    """
    codec = _codec(model)
    _check_unicode(text, continuation)
    ids = model.tokenize(text)
    conditions = len(ids)
    if continuation is not None:
        before, after = encode_pair(codec, text, continuation)
        ids, conditions = [*before, *after], len(before)
    return _rows(codec, ids, [None] * len(ids), None if continuation is None else conditions)


def chat_rows(model: LanguageModel, messages: Sequence[Message], continuation: str | None = None) -> list[TokenRow]:
    """The tokens of a conversation up to where the assistant speaks next, as `chat` gives them to the model.

    Args:
        model: A model with a chat template.
        messages: Turns, each with `role` and `content`.
        continuation: What the assistant then says, by the rule of `score`.

    Raises:
        Unsupported: The model has no tokenizer or no chat template.
        UsageError: The template refuses the conversation, it begins with two BOS tokens, or a text is not Unicode.
    """
    _check_unicode(continuation, *(text for message in messages for text in message.values()))
    codec = _codec(model)
    if not isinstance(codec, PretrainedTokenizer) or not codec.tokenizer.chat_template:
        raise Unsupported(f"{model.name} has no chat template, so it is not a chat model; show a plain text instead.")
    prompt = codec.render(messages)
    owners = _owners(codec, messages, prompt)
    rendered = _Rendered(codec)
    ids, conditions = rendered.encode(prompt), None
    if continuation is not None:
        before, after = encode_pair(rendered, prompt, continuation)
        ids, conditions = [*before, *after], len(before)
        owners += [NEXT] * len(continuation)
    return _rows(codec, ids, _roles(codec, prompt + (continuation or ""), owners, ids), conditions)


def read_messages(text: str) -> list[Message]:
    """The turns of a conversation from JSON, `[{"role": "user", "content": "..."}, ...]`.

    Raises:
        UsageError: It is not JSON, or not a list of such turns.
    """
    wanted = 'give a list of turns such as [{"role": "user", "content": "Hello"}]'
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The conversation is not JSON ({error}); {wanted}.") from error
    if not isinstance(found, list) or not found:
        raise UsageError(f"The conversation is no list of turns; {wanted}.")
    for number, turn in enumerate(found, start=1):
        if not isinstance(turn, dict) or not all(isinstance(turn.get(key), str) for key in ("role", "content")):
            raise UsageError(f"Turn {number} of the conversation has no role and content that are texts; {wanted}.")
    return found


def visible(text: str) -> str:
    r"""A token's text on one line, with nothing in it that a terminal obeys or hides.

    Spaces become ␣; newlines, tabs, other control, format and unassigned characters, and backslashes are escaped as
    in a Python string (`\n`, `\x1b`, `\u202e`, `\\`), so different texts stay different.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == " ":
        return SPACE
    if character in (SPACE, "\\") or not character.isprintable():
        return ascii(character)[1:-1]
    return character


def _check_unicode(*texts: object) -> None:
    for text in texts:
        if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"The text {text[:40]!a} holds half of a surrogate pair; write it as UTF-8.")


def _codec(model: LanguageModel) -> Codec:
    if model.tokenizer is None:
        raise Unsupported(f"{model.name} has no tokenizer, so its tokens have no text; load it with one.")
    return model.tokenizer


@dataclass(frozen=True)
class _Rendered:
    """The tokenizer for text in which the chat template has already written the special tokens."""

    codec: PretrainedTokenizer

    @property
    def vocabulary(self) -> int:
        return self.codec.vocabulary

    @property
    def bos(self) -> int | None:
        return self.codec.bos

    @property
    def eos(self) -> int | None:
        return self.codec.eos

    @property
    def pad(self) -> int | None:
        return self.codec.pad

    def encode(self, text: str) -> list[int]:
        return self.codec.encode_rendered(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.codec.decode(ids)


def _owners(codec: PretrainedTokenizer, messages: Sequence[Message], rendered: str) -> list[str]:
    """The role that wrote each character of a rendered conversation."""
    owners = [TEMPLATE] * len(rendered)
    word = "Placeholder"
    while word in rendered:
        word += "X"
    for index, message in enumerate(messages):
        changed = [*messages[:index], {**message, "content": word}, *messages[index + 1 :]]
        try:
            before, after = codec.render(changed).split(word)
        except (UsageError, ValueError):  # refused, or the word is not there exactly once
            continue
        end = len(rendered) - len(after)
        content = rendered[len(before) : end]
        around = rendered.startswith(before) and rendered.endswith(after) and end >= len(before)
        if around and content in message["content"]:  # a template may trim a content, not change it
            owners[len(before) : end] = [message["role"]] * len(content)
    return owners


def _roles(codec: PretrainedTokenizer, text: str, owners: Sequence[str], ids: Sequence[int]) -> list[str | None]:
    """The role of each token: that of its characters, in order where there are several."""
    if not codec.tokenizer.is_fast:  # it does not say which characters a token holds
        return [TEMPLATE] * len(ids)
    spans = codec.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    spans = [(0, 0)] * (len(ids) - len(spans)) + spans  # a BOS that scoring puts before an empty prompt
    return ["+".join(dict.fromkeys(owners[start:end])) or TEMPLATE for start, end in spans]


def _rows(codec: Codec, ids: Sequence[int], roles: Sequence[str | None], conditions: int | None) -> list[TokenRow]:
    specials = _special_ids(codec)
    rows = []
    for position, (token, role) in enumerate(zip(ids, roles, strict=True)):
        mask: Mask | None = None
        if conditions is not None:
            mask = "conditioned on" if position < conditions else "scored"
        rows.append(TokenRow(position, token, codec.decode([token]), role, token in specials, mask))
    return rows


def _special_ids(codec: Codec) -> set[int]:
    ids = {token for token in (codec.bos, codec.eos, codec.pad) if token is not None}
    if isinstance(codec, PretrainedTokenizer):
        added: dict[int, Any] = codec.tokenizer.added_tokens_decoder
        ids |= {*codec.tokenizer.all_special_ids, *(token for token, entry in added.items() if entry.special)}
    return ids

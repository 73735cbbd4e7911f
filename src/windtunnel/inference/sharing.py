"""Planning what is computed once: the options of one question in a row of branches, a prefix of many questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

Tokens = tuple[int, ...]

LEAST_SHARED = 16
"""Tokens that prompts must share before their prefix is computed apart."""

LIKE = 0.8
"""Share of the longest row's length from which on another row is of like length."""

MOST_COLUMNS = 1024
"""Columns of a row after which further options get a row of their own, since every column looks at all others."""


@dataclass(frozen=True)
class Row:
    """A prompt and continuations of it, laid side by side after the prompt.

    The tokens with which all of them begin are laid once. A continuation's last token predicts nothing that is scored,
    so it is not laid.

    Attributes:
        prompt: Token ids.
        options: Index of each continuation in the list that was asked for, and its token ids, at least one.
    """

    prompt: Tokens
    options: tuple[tuple[int, Tokens], ...]

    @cached_property
    def beginning(self) -> Tokens:
        """The tokens with which all continuations begin, one less than the shortest of them at most."""
        shortest = min((tokens for _, tokens in self.options), key=len)
        return shortest[: min(len(shortest) - 1, *(_common(shortest, tokens) for _, tokens in self.options))]

    @property
    def columns(self) -> int:
        """Tokens of the row."""
        laid = len(self.beginning)
        return len(self.prompt) + laid + sum(len(tokens) - laid - 1 for _, tokens in self.options)


@dataclass(frozen=True)
class Run:
    """Rows whose prompts share their first tokens.

    Attributes:
        prefix: How many; 0 where nothing is worth sharing, and always less than the shortest prompt.
        rows: The rows.
    """

    prefix: int
    rows: tuple[Row, ...]

    def batches(
        self, batch_size: int, most_tokens: int, most_options_tokens: int, enough_tokens: int
    ) -> Iterator[list[Row]]:
        """Rows of like length together, longest first; each batch within the limits, or a single row.

        Args:
            batch_size: Most rows.
            most_tokens: Most tokens, padding included.
            most_options_tokens: Most tokens of all continuations.
            enough_tokens: Tokens in a batch from which on a row that is much shorter begins the next one, since it
                would be mostly padding here.
        """
        batch: list[Row] = []
        scored = 0
        for row in sorted(self.rows, key=lambda row: row.columns, reverse=True):
            wanted = sum(len(tokens) for _, tokens in row.options)
            columns = (batch[0] if batch else row).columns - self.prefix
            full = len(batch) == batch_size or columns * (len(batch) + 1) > most_tokens
            full = full or (columns * len(batch) >= enough_tokens and row.columns - self.prefix < LIKE * columns)
            if batch and (full or scored + wanted > most_options_tokens):
                yield batch
                batch, scored = [], 0
            batch.append(row)
            scored += wanted
        if batch:
            yield batch


def rows_of(pairs: Sequence[tuple[Tokens, Tokens]], branching: bool) -> list[Row]:
    """Pairs of prompt and continuation as rows: one for each prompt, or for each pair where rows have no branches."""
    options: dict[Tokens, list[tuple[int, Tokens]]] = {}
    for index, (prompt, continuation) in enumerate(pairs):
        if continuation:
            options.setdefault(prompt, []).append((index, continuation))
    rows = []
    for prompt, every in options.items():
        taken: list[tuple[int, Tokens]] = []
        columns = len(prompt)
        for index, continuation in every:
            if taken and (not branching or columns + len(continuation) - 1 > MOST_COLUMNS):
                rows.append(Row(prompt, tuple(taken)))
                taken, columns = [], len(prompt)
            taken.append((index, continuation))
            columns += len(continuation) - 1
        rows.append(Row(prompt, tuple(taken)))
    return rows


def runs_of(rows: Sequence[Row]) -> list[Run]:
    """Rows in runs that share a prefix; a row joins its neighbour in alphabetical order where that saves tokens."""
    runs: list[tuple[int, list[Row]]] = []
    for row in sorted(rows, key=lambda row: row.prompt):
        longest = len(row.prompt) - 1
        if runs:
            prefix, members = runs[-1]
            shared = min(prefix, longest, _common(members[-1].prompt, row.prompt))
            if shared >= LEAST_SHARED and shared * len(members) >= prefix * (len(members) - 1):
                members.append(row)
                runs[-1] = shared, members
                continue
        runs.append((longest, [row]))
    alone = [members[0] for _, members in runs if len(members) == 1]
    shared_runs = [Run(prefix, tuple(members)) for prefix, members in runs if len(members) > 1]
    return [*shared_runs, Run(0, tuple(alone))] if alone else shared_runs


def _common(first: Tokens, second: Tokens) -> int:
    """Length of the prefix that two sequences share."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count

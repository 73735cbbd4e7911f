"""A table of runs as the columns that `allocation.compare` takes: which parameters and which FLOPs a column counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.interface import Floats
from windtunnel.scaling.tables import Table

ROLES = ("parameters", "non_embedding", "tokens", "loss", "flops")
"""What a column may be mapped to; `flops` are all that training computed, and 6 N D is worked out."""

TOTAL = ("parameters_total", "total_parameters", "params_total")
BARE = ("non_embedding_parameters", "parameters_non_embedding", "non_embedding", "params_no_embed")
EXACT = ("flops_exact", "exact_flops")


@dataclass(frozen=True)
class AllocationColumns:
    """Columns for `compare`, and where they come from.

    Attributes:
        columns: Keywords of `compare`: parameters, non_embedding, tokens, loss, flops, of those that there are.
        runs: The run of each row, if a column for it was named.
        sources: By keyword, the column or the formula.
        left_out: Rows in which a value is missing, or with too few tokens per parameter.
    """

    columns: dict[str, Floats]
    runs: list[str] | None
    sources: dict[str, str]
    left_out: int


def allocation_columns(
    table: Table,
    mapping: Mapping[str, str] | None = None,
    *,
    clusters: str | None = None,
    fewest_tokens_per_parameter: float = 0.0,
) -> AllocationColumns:
    """The columns of a table by their role.

    A column of parameters that does not say what it counts is taken for the total, unless another column is the total
    (as in what `windtunnel ladder` writes): then it is the count without embeddings.

    Args:
        table: Of finished runs or of checkpoints.
        mapping: Column of a role, where it is not to be guessed.
        clusters: Column that says which run a row belongs to.
        fewest_tokens_per_parameter: Rows with fewer are left out.

    Raises:
        UsageError: An unknown role or column, or none of parameters.
        DataError: No row is left, or a value is no number.
    """
    given = dict(mapping or {})
    for role in given:
        if role not in ROLES:
            raise UsageError(f"There is no role {role!r} for a column; choose one of {', '.join(ROLES)}.")
    total = _named(table, given, "parameters", TOTAL)
    bare = _named(table, given, "non_embedding", BARE)
    plain = table.find("parameters", {})
    if plain not in (None, total, bare):
        if total is None and bare is None:
            total = plain
        elif bare is None:
            bare = plain
    counted = total or bare
    exact = _named(table, given, "flops", EXACT)
    named = {role: given[role] for role in ("tokens", "loss") if role in given}
    chosen = table.choose(Chinchilla, named | ({"parameters": counted} if counted else {}), clusters=clusters)
    columns, sources = dict(chosen.columns), dict(chosen.sources)
    if counted is not None and counted != total:
        columns["non_embedding"], sources["non_embedding"] = columns.pop("parameters"), sources.pop("parameters")
    elif bare is not None:
        columns["non_embedding"], sources["non_embedding"] = table.numbers(bare)[chosen.rows], bare
    if exact is not None:
        columns["flops"], sources["flops"] = table.numbers(exact)[chosen.rows], exact
    size = columns.get("parameters", columns.get("non_embedding"))
    assert size is not None
    enough = columns["tokens"] >= fewest_tokens_per_parameter * size
    if not enough.any():
        raise DataError(
            f"No run of {table.place} has {fewest_tokens_per_parameter:g} tokens per parameter; ask for fewer."
        )
    runs: list[Any] | None = chosen.clusters
    return AllocationColumns(
        {name: values[enough] for name, values in columns.items()},
        None if runs is None else [name for name, good in zip(runs, enough, strict=True) if good],
        sources,
        chosen.left_out + int((~enough).sum()),
    )


def _named(table: Table, given: Mapping[str, str], role: str, names: tuple[str, ...]) -> str | None:
    """The column of a role: as mapped, or by a name that says what it counts."""
    if role in given:
        return table.find(role, given)
    return next((column for name in names if (column := table.find(name, {})) is not None), None)

"""From a table of runs to a fit and all that should be said with it: what `windtunnel fit` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.scaling.fitting import Fit, fit
from windtunnel.scaling.laws import find_law
from windtunnel.scaling.pitfalls import TOKENS_PER_PARAMETER
from windtunnel.scaling.profiling import profile
from windtunnel.scaling.selection import compare
from windtunnel.scaling.tables import Chosen, Table, read_table


def report_fit(
    law: str,
    place: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    clusters: str | None = None,
    min_tokens_per_parameter: float | None = None,
    drop_lowest_ratio: int | None = None,
    against: Sequence[str] = (),
    **options: Any,
) -> tuple[Fit, dict[str, Any]]:
    """Fit a law to a table of runs and collect everything worth knowing of it.

    Runs of fewer than `TOKENS_PER_PARAMETER` tokens per parameter are left out unless told otherwise, as the fit
    moves much with them; the parameters with all runs are in the report too.

    Args:
        law: Its name.
        place: File or directory (see `read_table`).
        mapping: Column of a variable, where it is not to be guessed.
        clusters: Column that says which run a row is of.
        min_tokens_per_parameter: Leave out runs with fewer; 0 keeps all.
        drop_lowest_ratio: Instead, leave out so many runs of the fewest tokens per parameter.
        against: Laws to compare with.
        **options: Of `fit`.

    Returns:
        The fit, and its report with `data`, `all_runs`, `profile` and `comparison`, ready for JSON.

    Raises:
        UsageError: An unknown law, column or option.
        DataError: The table cannot be read, or too little of it is left.
    """
    kind, table = find_law(law), read_table(place)
    chosen = table.choose(kind, mapping, clusters=clusters)
    kept, rule = _kept(chosen, min_tokens_per_parameter, drop_lowest_ratio)
    if not kept.any():
        raise DataError(f"No run of {table.place} is left ({rule}); lower --min-tokens-per-parameter.")
    runs = None if chosen.clusters is None else np.array(chosen.clusters)
    fitted = fit(
        kind,
        clusters=None if runs is None else runs[kept],
        **{**options, **{name: values[kept] for name, values in chosen.columns.items()}},
    )
    all_runs = None
    if not kept.all():
        whole = fit(kind, **{**options, "bootstrap": 0, **chosen.columns})
        all_runs = {"runs": len(kept), "parameters": whole.parameters}
        moved = ", ".join(f"{symbol} {value:.5g}" for symbol, value in whole.parameters.items())
        fitted.warnings.insert(
            0,
            f"{int((~kept).sum())} of {len(kept)} runs are left out ({rule}); with all of them the fit is {moved} "
            "(--min-tokens-per-parameter 0).",
        )
    if chosen.left_out:
        fitted.warnings.append(f"{chosen.left_out} of {len(table)} rows have no value in a needed column; left out.")
    constant = kind.irreducible
    bounded = constant is not None and constant not in fitted.settings["fixed"] and options.get("tolerance") != "loose"
    document = fitted.report()
    document["data"] = {
        "file": table.place,
        "rows": len(table),
        "incomplete": chosen.left_out,
        "left_out": int((~kept).sum()),
        "rule": rule,
        "columns": chosen.sources,
    }
    document["all_runs"] = all_runs
    document["profile"] = profile(fitted).report() if bounded else None
    document["comparison"] = _comparison([law, *against], table, chosen, kept, mapping, options) if against else None
    return fitted, document


def _kept(chosen: Chosen, minimum: float | None, lowest: int | None) -> tuple[NDArray[np.bool_], str]:
    """Which rows are fitted, and the rule in words."""
    count = len(next(iter(chosen.columns.values())))
    if not {"parameters", "tokens"} <= set(chosen.columns):
        if minimum is not None or lowest is not None:
            raise UsageError(
                "Tokens per parameter are known only for laws of parameters and tokens; leave the rule out."
            )
        return np.ones(count, dtype=bool), ""
    if minimum is not None and lowest is not None:
        raise UsageError("Give --min-tokens-per-parameter or --drop-lowest-ratio, not both.")
    with np.errstate(all="ignore"):
        ratio = chosen.columns["tokens"] / chosen.columns["parameters"]
    if lowest is not None:
        kept = np.ones(count, dtype=bool)
        kept[np.argsort(ratio, kind="stable")[:lowest]] = False
        return kept, f"the {lowest} of fewest tokens per parameter"
    bound = TOKENS_PER_PARAMETER if minimum is None else minimum
    return ~(ratio < bound), f"fewer than {bound:g} tokens per parameter"


def _comparison(
    laws: Sequence[str],
    table: Table,
    chosen: Chosen,
    kept: NDArray[np.bool_],
    mapping: Mapping[str, str] | None,
    options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The laws on the rows that all of them have."""
    rows = np.array(chosen.rows)[kept]
    columns = {name: values[kept] for name, values in chosen.columns.items()}
    for name in laws[1:]:
        other = table.choose(find_law(name), mapping)
        missing = set(rows.tolist()) - set(other.rows)
        if missing:
            raise DataError(f"{len(missing)} rows lack a column of {name}, so that it cannot be compared; fill them.")
        places = np.searchsorted(other.rows, rows)
        columns |= {key: values[places] for key, values in other.columns.items()}
    own = {key: value for key, value in options.items() if key not in ("bootstrap", "fixed")}
    return [row.report() for row in compare(list(dict.fromkeys(laws)), columns=columns, **own)]

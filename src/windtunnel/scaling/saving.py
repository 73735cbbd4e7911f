"""A fitted law as a file: what `windtunnel fit --out` writes and `windtunnel plan --law` reads."""

from pathlib import Path

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.laboratory.files import read_json, write_json
from windtunnel.scaling.fitting import Fit
from windtunnel.scaling.laws import find_law


def save_law(fitted: Fit, path: str | Path) -> None:
    """Write a fit: its report, the columns fitted, and the refits, so that intervals of anything can still be had."""
    document = fitted.report()
    document["columns"] = {name: values.tolist() for name, values in fitted.columns.items()}
    if fitted.replicates is not None:
        symbols = fitted.law.symbols()
        document["replicates"] = dict(zip(symbols, fitted.replicates.vector().T.tolist(), strict=True))
    write_json(Path(path), document)


def load_law(path: str | Path) -> Fit:
    """Read a fit that was saved, or a law written by hand: a name under `law` and numbers under `parameters`.

    Raises:
        DataError: The file holds no law.
        UsageError: It names a law that there is none of.
    """
    place = Path(path)
    if not place.is_file():
        raise DataError(f"There is no file {place}; write one with `windtunnel fit LAW --data FILE --out {place}`.")
    stored = read_json(place)
    if not isinstance(stored, dict) or not isinstance(stored.get("law"), str):
        raise DataError(f"{place} holds no fitted law; write one with `windtunnel fit LAW --data FILE --out {place}`.")
    kind = find_law(stored["law"])
    try:
        law = kind(*(float(stored["parameters"][symbol]) for symbol in kind.symbols()))
        drawn = stored.get("replicates")
        replicates = kind(*(np.array(drawn[symbol], dtype=np.float64) for symbol in kind.symbols())) if drawn else None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place} must give numbers for {', '.join(kind.symbols())} under parameters.") from error
    columns, residuals = {}, np.array([])
    try:
        if stored.get("columns"):
            columns = {name: np.array(values, dtype=np.float64) for name, values in stored["columns"].items()}
            inputs = {variable.name: columns[variable.name] for variable in kind.variables}
            residuals = np.log(columns[kind.output.name]) - np.log(law.predict(**inputs))
        objective = float(np.nan if stored.get("objective") is None else stored["objective"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The columns of {place} are not those of {kind.name}; leave them out, or fit again."
        ) from error
    return Fit(
        law,
        columns,
        objective,
        residuals,
        warnings=[str(line) for line in stored.get("warnings", [])],
        replicates=replicates,
        level=float(stored.get("level", 0.9)),
        inflation=float(stored.get("inflation", 1.0)),
        settings=dict(stored.get("settings", {})),
    )

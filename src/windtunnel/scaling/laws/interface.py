"""What every law is: a formula with named parameters, their units, and (where there is one) its optimum."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.laboratory.errors import DataError, UsageError

if TYPE_CHECKING:
    from windtunnel.scaling.laws.starting import Separation

Floats = NDArray[np.float64]
Batch = NDArray[Any]
"""One number, or an array in which a whole batch of laws is held at once (complex while it is differentiated)."""

STEP = 1e-100
"""Imaginary step of a derivative: no difference is taken, so none is rounded."""


@dataclass(frozen=True)
class Variable:
    """What a law takes or gives.

    Attributes:
        name: Keyword of `predict` and column of a table.
        unit: For example `tokens`.
    """

    name: str
    unit: str


@dataclass(frozen=True)
class Optimum:
    """How a training budget is best spent.

    Attributes:
        parameters: N.
        tokens: D, so that 6 N D is the budget.
        loss: Expected there, nats per token.
        exponent: a of parameters ∝ FLOPs^a.
    """

    parameters: Any
    tokens: Any
    loss: Any
    exponent: Any


def parameter(unit: str, meaning: str, *, positive: bool = True) -> Any:
    """A dataclass field that is a law's parameter.

    Args:
        unit: For example `nats per token`.
        meaning: What the symbol stands for.
        positive: Whether the law is defined for positive values only; those are fitted by their logarithm.
    """
    return field(metadata={"unit": unit, "meaning": meaning, "positive": positive})


@dataclass(frozen=True)
class Law:
    """A scaling law with its parameters.

    Symbols are those of the paper's equation, which each law quotes; `units` and `meanings` spell them out. A
    parameter may also be an array, which holds a batch of laws: predictions then broadcast.
    """

    name: ClassVar[str]
    variables: ClassVar[tuple[Variable, ...]]
    output: ClassVar[Variable] = Variable("loss", "nats per token")
    irreducible: ClassVar[str | None] = None
    """The parameter that is left when the variables grow without bound, if there is one."""

    def formula(self, *variables: Any) -> Any:
        """The prediction, in operations that also hold for complex numbers (so that it can be differentiated)."""
        raise NotImplementedError

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """Where a fit begins.

        Args:
            variables: One array [runs] per variable.
            observed: The measured output [runs].

        Returns:
            [starts, parameters]
        """
        separated = cls.separation(variables)
        if separated is None:
            raise NotImplementedError
        return separated.starts(observed)

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> "Separation | None":
        """How the law is linear in some parameters once the others are given, if it is (for variable projection)."""
        return None

    @classmethod
    def blind_starts(cls) -> Floats | None:
        """Where a fit that does not look at the data begins [starts, parameters], if a paper gives it."""
        return None

    @classmethod
    def symbols(cls) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(item.name for item in fields(cls))

    @classmethod
    def units(cls) -> dict[str, str]:
        """Unit of each parameter."""
        return {item.name: item.metadata["unit"] for item in fields(cls)}

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """What each parameter is."""
        return {item.name: item.metadata["meaning"] for item in fields(cls)}

    @classmethod
    def positive(cls) -> NDArray[np.bool_]:
        """Which parameters are fitted by their logarithm [parameters]."""
        return np.array([item.metadata["positive"] for item in fields(cls)])

    @classmethod
    def of(cls, values: Batch) -> Self:
        """The law, or the batch of laws, of parameters [..., parameters]."""
        return cls(*np.moveaxis(np.asarray(values), -1, 0))

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by symbol."""
        return {symbol: getattr(self, symbol) for symbol in self.symbols()}

    def vector(self) -> Floats:
        """The parameters as one array [..., parameters]."""
        return np.stack([np.asarray(value, dtype=np.float64) for value in self.parameters.values()], axis=-1)

    def predict(self, **variables: ArrayLike) -> Floats:
        """The law's value.

        Args:
            **variables: One number or array per variable of the law, positive and finite.

        Raises:
            UsageError: A variable is missing, or the law has none of that name.
            DataError: A value is not positive and finite.
        """
        return np.asarray(self.formula(*self.arranged(variables)))

    @classmethod
    def arranged(cls, given: Mapping[str, ArrayLike | None]) -> tuple[Floats, ...]:
        """The variables in the law's order, checked.

        Raises:
            UsageError: A variable is missing, or the law has none of that name.
            DataError: A value is not positive and finite.
        """
        names = [variable.name for variable in cls.variables]
        if set(given) != set(names):
            raise UsageError(f"The law {cls.name} takes {', '.join(names)}, not {', '.join(given) or 'nothing'}.")
        return tuple(checked_positive(given[name], name) for name in names)

    @classmethod
    def log_prediction(cls, values: Floats, variables: tuple[Floats, ...]) -> Floats:
        """Logarithm of the predictions of a batch of laws: [batch, parameters] to [batch, runs]; no warning if NaN."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log(cls.of(values[:, None, :]).formula(*variables)))

    @classmethod
    def log_gradient(cls, values: Floats, variables: tuple[Floats, ...]) -> tuple[Floats, Floats]:
        """Logarithm of the predictions and its derivatives by the parameters.

        Args:
            values: [batch, parameters]
            variables: One array [runs] per variable.

        Returns:
            [batch, runs] and [batch, parameters, runs]
        """
        slopes = np.empty((*values.shape, len(variables[0])))
        with np.errstate(all="ignore"):
            for index in range(values.shape[1]):
                moved = values[:, None, :].astype(complex)
                moved[..., index] += 1j * STEP
                result = np.log(cls.of(moved).formula(*variables))
                slopes[:, index] = result.imag / STEP
        return result.real, slopes


def checked_positive(values: ArrayLike | None, name: str) -> Floats:
    """The values as an array of numbers.

    Raises:
        DataError: One is not positive and finite.
    """
    try:
        data = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The {name} must be numbers, and some are not; correct or leave out those rows.") from error
    broken = int((~(np.isfinite(data) & (data > 0))).sum())
    if broken:
        raise DataError(
            f"The {name} must be positive and finite, and {broken} of {data.size} are not; correct or leave out "
            "those rows."
        )
    return data

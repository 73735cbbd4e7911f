"""Laws of one variable: the power law, with a constant, growing, and broken."""

# ruff: noqa: RUF009  (parameters are fields, named as the paper's symbols)

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from windtunnel.scaling.laws.interface import Floats, Law, Variable, parameter
from windtunnel.scaling.laws.starting import EXPONENTS, Separation, root, slope

X = Variable("x", "any unit")


@dataclass(frozen=True)
class PowerLaw(Law):
    """y(x) = (x_c / x)^α: what falls to nothing."""

    x_c: Any = parameter("unit of x", "where the law reaches 1")
    alpha: Any = parameter("1", "exponent")

    name: ClassVar[str] = "power-law"
    variables: ClassVar[tuple[Variable, ...]] = (X,)

    def formula(self, x: Any) -> Any:
        """The form of Kaplan et al. (2020), equations 1.1 to 1.3."""
        return (self.x_c / x) ** self.alpha

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """The straight line in logarithms."""
        intercept, steepness = slope(variables[0], observed)
        alpha = max(-steepness, 1e-3)
        return np.array([[root(np.exp(intercept), alpha), alpha]])


@dataclass(frozen=True)
class PowerLawPlusConstant(Law):
    """L(x) = L_∞ + (x_0 / x)^α (Henighan et al., 2020; arXiv:2010.14701, equation 1.1)."""

    L_inf: Any = parameter("unit of the loss", "irreducible loss")
    x_0: Any = parameter("unit of x", "where the reducible loss is 1")
    alpha: Any = parameter("1", "exponent of the reducible loss")

    name: ClassVar[str] = "power-law-plus-constant"
    irreducible: ClassVar[str | None] = "L_inf"
    variables: ClassVar[tuple[Variable, ...]] = (X,)

    def formula(self, x: Any) -> Any:
        """Equation 1.1 of Henighan et al."""
        return self.L_inf + (self.x_0 / x) ** self.alpha

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> Separation:
        """Linear in L_∞ and x_0^α."""
        (x,) = variables
        return Separation(
            lambda alpha: np.stack([np.ones_like(x), x**-alpha], axis=1),
            lambda found, alpha: [found[0], root(found[1], alpha), alpha],
            (EXPONENTS,),
        )


@dataclass(frozen=True)
class Logarithm(Law):
    """y(x) = a − b ln x: what Kaplan et al. (2020, figure 23) hold power laws against."""

    a: Any = parameter("unit of y", "value at x = 1")
    b: Any = parameter("unit of y", "fall per e-fold of x")

    name: ClassVar[str] = "logarithm"
    variables: ClassVar[tuple[Variable, ...]] = (X,)
    output: ClassVar[Variable] = Variable("y", "any unit")

    def formula(self, x: Any) -> Any:
        """A straight line over ln x, which ends below zero."""
        return self.a - self.b * np.log(x)

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """The straight line."""
        steepness, intercept = np.polyfit(np.log(variables[0]), observed, 1)
        return np.array([[max(intercept, 1e-9), max(-steepness, 1e-9)]])


@dataclass(frozen=True)
class Growth(Law):
    """y(x) = k x^γ: a quantity that grows or shrinks with another, such as the best batch with the budget."""

    k: Any = parameter("unit of y", "value at x = 1")
    gamma: Any = parameter("1", "exponent, of either sign", positive=False)

    name: ClassVar[str] = "growth"
    variables: ClassVar[tuple[Variable, ...]] = (X,)
    output: ClassVar[Variable] = Variable("y", "any unit")

    def formula(self, x: Any) -> Any:
        """A straight line in logarithms."""
        return self.k * x**self.gamma

    @classmethod
    def starts(cls, variables: tuple[Floats, ...], observed: Floats) -> Floats:
        """The straight line in logarithms."""
        intercept, steepness = slope(variables[0], observed)
        return np.array([[np.exp(intercept), steepness]])


@dataclass(frozen=True)
class BrokenPowerLaw(Law):
    """y(x) = a + b x^−c₀ (1 + (x / d₁)^(1/f₁))^(−c₁ f₁): two power laws and a smooth break between them.

    The broken neural scaling law with one break (Caballero et al., 2022; arXiv:2210.14891, equation 1).
    """

    a: Any = parameter("unit of y", "limit for large x")
    b: Any = parameter("unit of y × x^c_0", "scale before the break")
    c_0: Any = parameter("1", "exponent before the break", positive=False)
    c_1: Any = parameter("1", "by how much the exponent changes at the break", positive=False)
    d_1: Any = parameter("unit of x", "where the break is")
    f_1: Any = parameter("1", "width of the break, in e-folds of x")

    name: ClassVar[str] = "broken-power-law"
    irreducible: ClassVar[str | None] = "a"
    variables: ClassVar[tuple[Variable, ...]] = (X,)

    def formula(self, x: Any) -> Any:
        """Equation 1 of Caballero et al. with n = 1."""
        place = np.log(x / self.d_1) / self.f_1
        softplus = np.where(np.real(place) > 30, place, np.log(1 + np.exp(np.where(np.real(place) > 30, 0, place))))
        return self.a + self.b * np.exp(-self.c_0 * np.log(x) - self.c_1 * self.f_1 * softplus)

    @classmethod
    def separation(cls, variables: tuple[Floats, ...]) -> Separation:
        """Linear in a and b."""
        (x,) = variables

        def basis(c_0: float, c_1: float, d_1: float, f_1: float) -> Floats:
            shape = cls(0.0, 1.0, c_0, c_1, d_1, f_1).formula(x)
            return np.stack([np.ones_like(x), shape], axis=1)

        return Separation(
            basis,
            lambda found, *point: [*found, *point],
            ((0.05, 0.3, 1.0), (-0.3, 0.3, 1.0), np.quantile(x, [0.25, 0.5, 0.75]), (0.1, 0.7)),
        )

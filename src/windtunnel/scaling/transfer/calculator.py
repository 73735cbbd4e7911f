"""What pre-training is worth in a case of one's own: data transferred, multiplier, and data or a bigger model."""

from dataclasses import dataclass

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.interface import checked_positive
from windtunnel.scaling.laws.transfer import DataTransferred
from windtunnel.scaling.transfer.effective import LOW_DATA

PUBLISHED = {
    "text": DataTransferred(1.9e4, 0.18, 0.38),
    "mixture": DataTransferred(2.1e5, 0.096, 0.38),
}
"""Table 1, in characters of Python: pre-trained on text, and on half text and half code that is not Python."""

PUBLISHED_PARAMETERS = (1e5, 1e9)
"""Sizes of model the published constants were fitted to, in orders of magnitude."""

PUBLISHED_DATA = (1e5, 1e8)
"""Characters of fine-tuning data they were fitted to: three decades."""


@dataclass(frozen=True)
class Case:
    """One's own case under a law of transfer.

    Attributes:
        parameters: Non-embedding parameters N.
        finetuning_data: D_F, in the law's unit (of the published ones: characters).
        transferred: D_T = k D_F^α N^β.
        effective: D_E = D_F + D_T: data from scratch that would serve as well.
        multiplier: D_E / D_F.
        tenfold_data: By how much ten times the fine-tuning data multiply D_T.
        tenfold_model: By how much ten times the parameters multiply D_T.
        data_like_tenfold_model: By how much D_F must grow for D_T to grow as with ten times the parameters.
        warnings: What a reader should know before trusting the numbers, a sentence each.
    """

    parameters: float
    finetuning_data: float
    transferred: float
    effective: float
    multiplier: float
    tenfold_data: float
    tenfold_model: float
    data_like_tenfold_model: float
    warnings: list[str]


def calculate(
    law: DataTransferred,
    parameters: float,
    finetuning_data: float,
    *,
    enough: float | None = None,
    fitted_to: tuple[tuple[float, float], tuple[float, float]] | None = (PUBLISHED_PARAMETERS, PUBLISHED_DATA),
) -> Case:
    """Apply a law of transfer.

    Args:
        law: One of `PUBLISHED`, or fitted.
        parameters: Non-embedding parameters N.
        finetuning_data: D_F in the law's unit.
        enough: D(N): data that take a model of this size to 99 % of its best from scratch, if known.
        fitted_to: Ranges of parameters and data that the law was fitted to, for warnings.

    Raises:
        DataError: A number is not positive and finite.
    """
    for value, name in ((parameters, "parameters"), (finetuning_data, "fine-tuning data")):
        checked_positive(value, name)
    if enough is not None:
        checked_positive(enough, "data that are enough from scratch")
    effective = law.effective_data(parameters, finetuning_data)
    told = []
    if enough is not None and finetuning_data > LOW_DATA * enough:
        told.append(
            f"{finetuning_data:.3g} is above a tenth of the {enough:.3g} that are enough from scratch: the law is of "
            "less data than that, and overstates the data transferred; near and beyond it pre-training may harm."
        )
    if enough is None:
        told.append(
            "The law holds for fine-tuning data up to a tenth of what is enough from scratch, D(N), which is not "
            "known here."
        )
    for value, ends, name in zip(
        (parameters, finetuning_data), fitted_to or (), ("parameters", "fine-tuning data"), strict=False
    ):
        if not 0.999 * ends[0] <= value <= 1.001 * ends[1]:
            told.append(
                f"{value:.3g} {name} are outside the {ends[0]:.3g} to {ends[1]:.3g} that the law was fitted to."
            )
    if law.alpha >= 1:
        told.append(f"α is {float(law.alpha):.2f}: from 1 on, pre-training is worth more, not less, with more data.")
    return Case(
        float(parameters),
        float(finetuning_data),
        effective - finetuning_data,
        effective,
        effective / finetuning_data,
        float(10**law.alpha),
        float(10**law.beta),
        data_like_bigger_model(law),
        told,
    )


def data_like_bigger_model(law: DataTransferred, factor: float = 10.0) -> float:
    """By how much D_F must grow for D_T to grow as with `factor` times the parameters: factor^(β / α).

    For text 10^(0.38 / 0.18) = 129; the paper rounds to 100, since β is about 2 α.

    Raises:
        UsageError: α is not positive: more fine-tuning data then never transfer more.
    """
    if law.alpha <= 0:
        raise UsageError(f"With α = {float(law.alpha):.3g} no fine-tuning data match a bigger model; fit more runs.")
    try:
        return float(factor ** (law.beta / law.alpha))
    except OverflowError:
        return float("inf")

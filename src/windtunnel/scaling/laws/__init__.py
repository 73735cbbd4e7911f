"""The laws, by name."""

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.laws.deployment import DownstreamError, OverTraining
from windtunnel.scaling.laws.hyperparameters import BatchSize, LearningRate
from windtunnel.scaling.laws.interface import Law
from windtunnel.scaling.laws.kaplan import (
    CriticalBatch,
    LossOfFlops,
    LossOfMinimumFlops,
    LossOfParameters,
    LossOfParametersAndSteps,
    LossOfParametersAndTokens,
    LossOfTokens,
)
from windtunnel.scaling.laws.other_losses import LossToLoss
from windtunnel.scaling.laws.power import BrokenPowerLaw, Growth, Logarithm, PowerLaw, PowerLawPlusConstant
from windtunnel.scaling.laws.repetition import DamageBoundary, DataConstrained
from windtunnel.scaling.laws.transfer import DataTransferred, UnifiedTransfer
from windtunnel.scaling.laws.transfer_gap import EffectiveDataLoss, TransferGap

LAWS: dict[str, type[Law]] = {
    law.name: law
    for law in (
        Chinchilla,
        PowerLaw,
        PowerLawPlusConstant,
        BrokenPowerLaw,
        Growth,
        Logarithm,
        LossOfParameters,
        LossOfTokens,
        LossOfFlops,
        LossOfMinimumFlops,
        LossOfParametersAndTokens,
        LossOfParametersAndSteps,
        CriticalBatch,
        DataConstrained,
        DamageBoundary,
        DataTransferred,
        UnifiedTransfer,
        TransferGap,
        EffectiveDataLoss,
        LossToLoss,
        OverTraining,
        DownstreamError,
        LearningRate,
        BatchSize,
    )
}


def find_law(name: str) -> type[Law]:
    """The law of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in LAWS:
        raise UsageError(f"No law is named {name!r}; choose one of {', '.join(LAWS)}.")
    return LAWS[name]

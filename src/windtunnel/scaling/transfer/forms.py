"""Which form the loss after fine-tuning follows: the unified law, and the transfer gap against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.laws.interface import Floats, Law
from windtunnel.scaling.laws.kaplan import LossOfParametersAndTokens
from windtunnel.scaling.laws.transfer import DataTransferred, UnifiedTransfer
from windtunnel.scaling.laws.transfer_gap import EffectiveDataLoss, TransferGap
from windtunnel.scaling.transfer.surface import Runs


@dataclass(frozen=True)
class UnifiedCheck:
    """How well losses after fine-tuning follow from runs from scratch and the data transferred.

    Attributes:
        predicted: Loss of each fine-tuned run by the unified law.
        error: Mean absolute error, nats per token.
        error_from_scratch: That of the law from scratch at D_F, which knows nothing of the pre-training.
        law: The unified law.
    """

    predicted: Floats
    error: float
    error_from_scratch: float
    law: UnifiedTransfer


def unified_check(scratch: Runs, finetuned: Runs, law: DataTransferred) -> UnifiedCheck:
    """L ≈ [(N_c / N)^(α_N / α_D) + D_c / (k D_F^α N^β)]^α_D (section 6.1), nothing fitted to the losses it predicts.

    N_c, α_N, D_c and α_D are of the runs from scratch; k, α and β of the data transferred.

    Args:
        scratch: Early-stopped runs from scratch, over sizes of model and data.
        finetuned: Low-data fine-tuned runs.
        law: Their data transferred.

    Raises:
        DataError: The runs from scratch are too few for their law.
    """
    found = fit("kaplan-parameters-tokens", parameters=scratch.parameters, tokens=scratch.data, loss=scratch.loss).law
    assert isinstance(found, LossOfParametersAndTokens)
    unified = UnifiedTransfer(found.N_c, found.alpha_N, found.D_c / law.k, found.alpha_D, law.alpha, law.beta)
    predicted = unified.predict(parameters=finetuned.parameters, finetuning_data=finetuned.data)
    plain = found.predict(parameters=finetuned.parameters, tokens=finetuned.data)
    errors = [float(np.abs(each - finetuned.loss).mean()) for each in (predicted, plain)]
    return UnifiedCheck(predicted, errors[0], errors[1], unified)


FORMS: tuple[type[Law], ...] = (TransferGap, EffectiveDataLoss)


@dataclass(frozen=True)
class Form:
    """One form fitted to runs of one size.

    Attributes:
        law: With its parameters.
        aicc: Akaike's criterion of the log residuals, corrected for few runs: the lower the better.
        left_out: Mean absolute log error on the fine-tuning size left out, over all sizes.
    """

    law: Law
    aicc: float
    left_out: float


def compare_forms(pretraining: Floats, finetuning: Floats, loss: Floats) -> Mapping[str, Form]:
    """Fit both forms to runs of one size of model, over pre-training and fine-tuning data.

    Args:
        pretraining: Tokens of pre-training of each run.
        finetuning: Tokens of fine-tuning.
        loss: Loss of each.

    Raises:
        DataError: Fewer than eight runs, or not two pre-trainings and three fine-tuning sizes.
    """
    p, f, y = (np.asarray(column, dtype=np.float64) for column in (pretraining, finetuning, loss))
    if len(y) < 8 or len(np.unique(p)) < 2 or len(np.unique(f)) < 3:
        raise DataError(
            "Two forms of five parameters need eight runs, over two amounts of pre-training and three of fine-tuning; "
            "train more."
        )
    found = {}
    for form in FORMS:

        def fitted(rows: Any, form: type[Law] = form) -> Law:
            return fit(form, pretraining_data=p[rows], finetuning_data=f[rows], loss=y[rows], delta=np.inf).law

        law, count, n = fitted(slice(None)), len(form.symbols()) + 1, len(y)
        squares = float(((np.log(y) - np.log(law.predict(pretraining_data=p, finetuning_data=f))) ** 2).sum())
        aicc = n * np.log(max(squares, 1e-300) / n) + 2 * count + 2 * count * (count + 1) / max(n - count - 1, 1)
        misses = []
        for size in np.unique(f):
            kept = f != size
            if kept.sum() > len(form.symbols()):
                there = fitted(kept).predict(pretraining_data=p[~kept], finetuning_data=f[~kept])
                misses.append(np.abs(np.log(there / y[~kept])).mean())
        found[form.name] = Form(law, float(aicc), float(np.mean(misses)) if misses else float("nan"))
    return found

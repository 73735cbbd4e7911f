"""Real text: the loss along the context, and what a stretch of text tells about the next (Fig. 6, Appendix E)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.laboratory.run import Run
from windtunnel.scaling.fitting import fit
from windtunnel.scaling.information import context_gain, context_information, text_loss
from windtunnel.statistics.intervals import mean
from windtunnel.studies.autoregressive_scaling import presentation as show
from windtunnel.studies.autoregressive_scaling.training import Found, column

if TYPE_CHECKING:
    from windtunnel.studies.autoregressive_scaling import Config

FELL = 1.05
"""By this factor the loss must fall along the context before a law of it is judged."""


def measure_language(config: "Config", ladders: dict[str, Found], run: Run) -> None:
    """L(t) of every size, and the information between two halves of the context: by the law, and measured."""
    ladder = ladders["language"]
    run.section("Language", f"Bytes of {config.corpus}; the loss of a token after t others.")
    places = np.arange(1, len(ladder[-1]["position_losses"]) + 1)
    laws = [_law(places, one["position_losses"]) for one in ladder]
    run.figure(
        "language-positions",
        show.positions([one["position_losses"] for one in ladder], laws, column(ladder, "parameters")),
        "Loss by the number of tokens before, with L(t) = L(N) + (L_U − L(N)) / t^p of each size.",
        data={f"{one['parameters']}": one["position_losses"] for one in ladder},
    )
    half = len(places) // 2
    rows = []
    for one, law in zip(ladder, laws, strict=True):
        measured = mean(one["second_alone"] - one["second_after"])
        rows.append(
            {"parameters": one["parameters"], "L(N)": law["limit"], "L_U": law["first"], "p": law["exponent"]}
            | {f"I of {half} tokens and the next, measured (nats)": str(measured)}
            | {"by the law": context_information(half, **law), "InfoGain by the law": context_gain(half, **law)}
        )
    run.table("language-information", rows, "The law along the context and what follows from it (Appendix E).")
    largest, law = ladder[-1], laws[-1]
    losses = largest["position_losses"]
    quarter = max(len(losses) // 4, 1)
    fell = losses[0] > FELL * losses[-quarter:].mean()
    note = f"Of the largest size; judged only where the first token costs {FELL - 1:.0%} more than the last quarter."
    gaps = losses - text_loss(places, **law)
    explained = 1 - float((gaps**2).sum() / ((losses - losses.mean()) ** 2).sum())
    run.conclude("text-positions", explained if fell else np.nan, evidence="language-positions", note=note)
    if not fell:
        run.conclude("context-information", np.nan, note=note)
        return
    measured = mean(largest["second_alone"] - largest["second_after"])
    told = context_information(half, **law)
    run.conclude(
        "context-information",
        told / measured.value,
        interval=(told / measured.high, told / measured.low) if measured.low > 0 else (-np.inf, np.inf),
        evidence="language-positions",
        note="Interval over held-out rows of what is measured. " + note,
    )


def _law(places: np.ndarray, losses: np.ndarray) -> dict[str, Any]:
    """`limit`, `first` and `exponent` of the law along the context."""
    found = fit("power-law-plus-constant", delta=np.inf, x=places, loss=losses).parameters
    return {
        "limit": float(found["L_inf"]),
        "first": float(found["L_inf"] + found["x_0"] ** found["alpha"]),
        "exponent": float(found["alpha"]),
    }

"""Training that ends where the held-out loss is lowest: the optimal stop of Hernandez et al. (2021, section 2).

One rule for every run, whatever it starts from: the loss is measured on a grid of steps that grows by a constant
ratio, and a run ends once it has gone on for a given multiple of its best step without bettering it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from windtunnel.data.sources import Source
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import Objective, train

Measure = Callable[[nn.Module], tuple[float, float]]
"""From a model to its loss on data that choose the stop, and on other data that are reported."""


@dataclass
class StoppedEarly:
    """A run at its best step.

    Attributes:
        step: Optimizer steps taken there; 0 where no training helped.
        loss: Loss there on data that had no part in choosing it, nats per token.
        path: (step, loss that chooses, loss reported) of every measurement.
        ended: Why it ended: `turned` (the loss had stopped falling) or `steps` (the budget ran out).
        weights: The model's state there, where asked for.
    """

    step: int
    loss: float
    path: list[tuple[int, float, float]]
    ended: str
    weights: dict[str, Tensor] | None = None


@dataclass
class Stopping:
    """When a run is measured and when it ends.

    Attributes:
        growth: Ratio of successive measured steps ...
        spacing: ... that lie at least so many steps apart.
        patience: A run ends at this multiple of its best step ...
        least: ... but not before so many steps.
    """

    growth: float = 1.3
    spacing: int = 10
    patience: float = 1.6
    least: int = 40


class _Turned(Exception):
    """The loss has stopped falling."""


@dataclass
class _Watch:
    measure: Measure
    rule: Stopping
    last: int
    keep_weights: bool
    path: list[tuple[int, float, float]] = field(default_factory=list)
    best: tuple[int, float, float] | None = None
    weights: dict[str, Tensor] | None = None
    due: float = 0.0

    def __call__(self, model: nn.Module, step: int) -> dict[str, float]:
        if step < self.due and step != self.last:
            return {}
        self.due = max(step + self.rule.spacing, step * self.rule.growth)
        chooses, reported = self.measure(model)
        self.path.append((step, chooses, reported))
        if self.best is None or chooses < self.best[1]:
            self.best = self.path[-1]
            if self.keep_weights:
                self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        elif step >= max(self.rule.least, self.rule.patience * self.best[0]):
            raise _Turned
        return {}


def train_to_best(
    model: nn.Module,
    objective: Objective,
    source: Source,
    config: TrainingConfig,
    measure: Measure,
    *,
    rule: Stopping | None = None,
    device: str = "cpu",
    keep_weights: bool = False,
) -> StoppedEarly:
    """Train until the held-out loss has turned, or for all steps, and report the best step.

    The learning rate should be constant after warm-up, since where a run ends is not known before.

    Args:
        model: Trained in place; afterwards it is as the last step left it, not the best.
        objective: What to minimise.
        source: Where rows come from.
        config: The settings; its `evaluate_every` is not used.
        measure: The loss that chooses the stop and the loss that is reported.
        rule: When to measure and when to end.
        device: Torch device.
        keep_weights: Keep the state at the best step.
    """
    watch = _Watch(measure, rule or Stopping(), config.steps, keep_weights)
    ended = "steps"
    try:
        train(model, objective, source, config.model_copy(update={"evaluate_every": 1}), evaluate=watch, device=device)
    except _Turned:
        ended = "turned"
        model.eval()
    assert watch.best is not None
    return StoppedEarly(watch.best[0], watch.best[2], watch.path, ended, watch.weights)

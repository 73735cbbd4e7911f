"""The one loop by which everything here learns by gradient."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from windtunnel.data.sources import Rows, Source, derived_seed
from windtunnel.laboratory import stages
from windtunnel.laboratory.errors import WindtunnelError
from windtunnel.laboratory.progress import Progress, Task
from windtunnel.laboratory.run import Run
from windtunnel.models.checkpoint import Savable
from windtunnel.models.hardware import Precision, check_device, faster_precision
from windtunnel.training import checkpoints, optimizers, parallel
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.schedules import multiplier

Objective = Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, Tensor]]
"""From a model and a batch to the sum of its losses and the number of terms in it."""

Evaluate = Callable[[nn.Module, int], dict[str, Any]]
"""From a model and the number of steps taken to what was measured: numbers and arrays."""


@dataclass
class TrainingResult:
    """What a training leaves.

    Attributes:
        model: The trained model, in evaluation mode.
        steps: Optimizer steps taken.
        losses: (step, mean loss in nats over the steps since the last entry) on the logging grid of this process.
        evaluations: What `evaluate` returned, oldest first, each with its "step".
        snapshots: Directory of each kept snapshot by step.
        seconds: Wall-clock seconds of training in this process, evaluations excluded.
        tokens_per_second: Tokens predicted per such second.
    """

    model: nn.Module
    steps: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[int, Path] = field(default_factory=dict)
    seconds: float = 0.0
    tokens_per_second: float = 0.0


def train(
    model: nn.Module,
    objective: Objective,
    source: Source,
    config: TrainingConfig,
    *,
    run: Run | None = None,
    evaluate: Evaluate | None = None,
    device: str = "cpu",
    distribute: Literal["none", "ddp", "fsdp"] = "none",
    tokenizer: Savable | None = None,
    begin: Path | None = None,
) -> TrainingResult:
    """Train a model.

    The loss of a step is the sum over all its rows, micro-batches and processes divided by the count over all of
    them, so that none of these choices changes the gradient but by rounding. With a `run`, metrics, checkpoints,
    snapshots and evaluations are kept in its directory, and a training killed at any moment continues there: on one
    CPU process to the same numbers bit for bit.

    Args:
        model: Trained in place.
        objective: What to minimise.
        source: Where rows come from; step s uses rows s·B to (s+1)·B − 1.
        config: The settings.
        run: Where to keep everything; None keeps nothing on disk.
        evaluate: Called before the first step, every `evaluate_every` steps and after the last.
        device: Torch device.
        distribute: Under `torchrun`: `ddp` copies the model to every process, `fsdp` shards it.
        tokenizer: Saved in every checkpoint, so that what is loaded from there can read text.
        begin: A checkpoint of another training of the same model, whose weights, optimizer and step this one goes on
            from: a cooldown from the trunk of a `wsd` schedule. What lies in `run` already goes before it.

    Raises:
        WindtunnelError: The loss or its gradient is not finite; the last good checkpoint is kept.
        DataError: A checkpoint in the run's directory is damaged or of another training.
    """
    processes = parallel.processes()
    model.to(check_device(device))
    trained = parallel.distribute(model, distribute)
    opts = optimizers.build(trained, config)
    keeper = Keeper(run, config, trained, opts, tokenizer, main=processes.rank == 0)
    result = TrainingResult(model, snapshots=keeper.snapshots, evaluations=keeper.evaluations, losses=keeper.losses)
    trained.train()
    precision = _precision(trained, objective, source, config, device, keeper)
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
    step = keeper.resume(precision, begin)
    forward: nn.Module = torch.compile(trained) if config.compile else trained  # type: ignore[assignment]
    synchronous = torch.device(device).type == "cpu"
    loss_since, count_since, norm = torch.zeros((), device=device), torch.zeros((), device=device), torch.zeros(())
    tokens, marked, marked_tokens = 0, time.perf_counter(), 0

    with _numerics(config), _display(run, config.steps) as task:
        if step == 0:
            keeper.keep(0, evaluate, model)
        trained.train()
        began = time.perf_counter()
        paused = 0.0
        while step < config.steps:
            optimizers.set_learning_rate(opts, _multiplier(config, step))
            total, count = torch.zeros((), device=device), torch.zeros((), device=device)
            batches = _micro_batches(source, config, step, processes, device)
            for index, batch in enumerate(batches):
                torch.manual_seed(derived_seed(config.seed, step, processes.rank, index))
                with autocast, parallel.synchronised(trained, index == config.accumulation - 1):
                    loss, terms = objective(forward, batch)
                torch.autograd.backward(loss)
                total += loss.detach()
                count += terms
                tokens += batch["tokens"].numel() - len(batch["tokens"])
            parallel.sum_over_processes(total, count)
            norm = _scale_and_clip(trained, processes.world / count, config.clip)
            if synchronous:
                _insist_finite(total, norm, step)
            for optimizer in opts:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            loss_since += total
            count_since += count
            step += 1
            if step % config.log_every == 0 or step % config.checkpoint_every == 0 or step == config.steps:
                mean = float(loss_since / count_since)
                _insist_finite(loss_since, norm, step - 1)
                now = time.perf_counter()
                pace = (tokens - marked_tokens) * processes.world / (now - marked)
                marked, marked_tokens = now, tokens
                loss_since.zero_()
                count_since.zero_()
                result.losses.append((step, mean))
                keeper.log(step, mean, float(norm), opts[0].param_groups[0]["lr"], pace)
                task.update(step, loss=mean, tokens_per_s=pace)
            pause = time.perf_counter()
            keeper.keep(step, evaluate, model)
            trained.train()
            resumed = time.perf_counter()
            paused += resumed - pause
            marked += resumed - pause
        result.seconds = time.perf_counter() - began - paused
    result.steps = step
    result.tokens_per_second = tokens * processes.world / result.seconds if tokens else 0.0
    model.eval()
    return result


class Keeper:
    """Keeps what a training leaves on disk, and evaluates on the step grid."""

    def __init__(
        self,
        run: Run | None,
        config: TrainingConfig,
        model: nn.Module,
        opts: list[torch.optim.Optimizer],
        tokenizer: Savable | None,
        main: bool,
    ) -> None:
        self.run = run
        self.config = config
        self.model = model
        self.opts = opts
        self.tokenizer = tokenizer
        self.main = main
        self.folder = None if run is None else run.directory / "checkpoints"
        self.facts = config.model_dump(mode="json", exclude={"log_every", "checkpoint_every", "compile"})
        self.snapshots: dict[int, Path] = {}
        self.evaluations: list[dict[str, Any]] = []
        self.losses: list[tuple[int, float]] = []

    def note(self, text: str) -> None:
        """One line for the person watching."""
        if self.run is not None and self.main:
            self.run.note(f"{self.run.directory.name}: {text}")

    def precision(self) -> Precision | None:
        """The precision of the training that lies here already."""
        found = [] if self.folder is None else checkpoints.resumable(self.folder)
        return checkpoints.facts_of(found[-1]).get("precision") if found else None

    def resume(self, precision: Precision, begin: Path | None = None) -> int:
        """Continue from the newest checkpoint, else from `begin`, if there is one; returns the steps already taken."""
        self.facts["precision"] = precision
        found = [] if self.folder is None else checkpoints.resumable(self.folder)
        step = 0
        if found:
            step = checkpoints.restore(found[-1], self.model, self.opts, self.facts)
        elif begin is not None:
            step = checkpoints.restore(begin, self.model, self.opts, {})
        if self.run is None or self.folder is None:
            return step
        if self.main:
            self.run.rewind(step)
        self.losses.extend((row["step"], row["loss"]) for row in self.run.metrics)
        for past in range(step + 1):
            if stages.stored(self._evaluation(past)) and (found or past < step):
                self.evaluations.append({"step": past, **stages.fetch(self._evaluation(past))})
            if past in self.config.snapshots and found:
                self.snapshots[past] = checkpoints.path_of(self.folder, past)
        return step

    def _evaluation(self, step: int) -> Path:
        assert self.run is not None
        return self.run.directory / "artifacts" / "evaluations" / f"step-{step:08d}"

    def log(self, step: int, loss: float, norm: float, rate: float, pace: float) -> None:
        """Append the metrics of a step."""
        if self.run is not None and self.main:
            self.run.log(step, loss=loss, gradient_norm=norm, learning_rate=rate, tokens_per_second=pace)

    def keep(self, step: int, evaluate: Evaluate | None, model: nn.Module) -> None:
        """Evaluate, snapshot and checkpoint, where the grids say so."""
        config = self.config
        last = step == config.steps
        every = config.evaluate_every
        if evaluate is not None and (last or step == 0 or (every is not None and step % every == 0)):
            model.eval()
            with torch.no_grad():
                measured = evaluate(model, step)
            if self.run is not None and self.main:
                measured = stages.store(self._evaluation(step), measured)
            self.evaluations.append({"step": step, **measured})
        if self.folder is None:
            return
        snapshot = step in config.snapshots
        if step > 0 and (last or step % config.checkpoint_every == 0):
            path = self._write(step, self.opts)
            if self.main:
                checkpoints.prune(self.folder, config.snapshots)
        elif snapshot:
            path = self._write(step, None)
        if snapshot:
            self.snapshots[step] = path

    def _write(self, step: int, opts: list[torch.optim.Optimizer] | None) -> Path:
        assert self.folder is not None
        return checkpoints.write(self.folder, step, self.model, opts, self.facts, self.main, self.tokenizer)


def _micro_batches(
    source: Source, config: TrainingConfig, step: int, processes: parallel.Processes, device: str
) -> Iterator[Rows]:
    """This process's share of a step's rows, in micro-batches."""
    rows = config.batch_size // config.accumulation
    if rows % processes.world:
        raise WindtunnelError(
            f"A micro-batch of {rows} rows does not divide over {processes.world} processes; change batch_size."
        )
    share = rows // processes.world
    for index in range(config.accumulation):
        start = step * config.batch_size + index * rows + processes.rank * share
        batch = source.rows(start, share)
        yield {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _multiplier(config: TrainingConfig, step: int) -> float:
    return multiplier(
        config.schedule,
        step,
        steps=config.schedule_steps or config.steps,
        warmup_steps=config.warmup_steps,
        final_fraction=config.final_fraction,
    )


def _scale_and_clip(model: nn.Module, factor: Tensor, clip: float | None) -> Tensor:
    """Multiply all gradients by `factor`, then clip their norm; returns the norm before clipping."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))
    limit = math.inf if clip is None else clip
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=True)
    full: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return full


def _insist_finite(loss: Tensor, norm: Tensor, step: int) -> None:
    if not (math.isfinite(float(loss)) and math.isfinite(float(norm))):
        raise WindtunnelError(
            f"Training stopped at step {step}: the loss is {float(loss):g} and its gradient {float(norm):g}; lower "
            "the learning rate or clip harder. The last good checkpoint is kept."
        )


def _precision(
    model: nn.Module, objective: Objective, source: Source, config: TrainingConfig, device: str, keeper: "Keeper"
) -> Precision:
    """The precision asked for, or the one a resumed training began with, or the one measured to be faster."""
    if config.precision != "auto":
        return config.precision
    begun = keeper.precision()
    if begun is not None:
        return begun
    if parallel.processes().world > 1:  # measured times differ between processes; their choice must not
        return "bf16" if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    batch = next(_micro_batches(source, config, 0, parallel.Processes(), device))
    with torch.random.fork_rng():
        precision, seconds = faster_precision(lambda: objective(model, batch)[0], device)
    model.zero_grad(set_to_none=True)
    keeper.note(
        f"training in {precision}: a micro-batch takes {seconds['fp32'] * 1e3:.1f} ms in fp32 and "
        f"{seconds['bf16'] * 1e3:.1f} ms under bf16 autocast on {torch.get_num_threads()} thread(s)"
    )
    return precision


@contextmanager
def _numerics(config: TrainingConfig) -> Iterator[None]:
    """Denormals flushed (they slow the processor several-fold) and the global generator left as it was found."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_available() else []):
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)


@contextmanager
def _display(run: Run | None, steps: int) -> Iterator[Task]:
    with Progress("silent").task("training", steps) if run is None else run.progress("training", steps) as task:
        yield task

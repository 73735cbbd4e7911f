"""What this machine can do, by measurement instead of a guess."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from windtunnel.laboratory.errors import UsageError

Precision = Literal["fp32", "bf16"]


def check_device(name: str) -> str:
    """The device's name, if it is there.

    Raises:
        UsageError: It is no device, or not on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"Device {name!r} cannot be used here ({first}); choose another, for example cpu.") from error
    return str(device)


def faster_precision(loss: Callable[[], Tensor], device: str) -> tuple[Precision, dict[Precision, float]]:
    """Time forward and backward passes in fp32 and under bf16 autocast, and name the faster by 10 % or more.

    Neither fashion nor a matrix product tells: a processor without bfloat16 units computes in it several times slower
    than in fp32, and one that has them still loses on narrow models, where casting costs more than it saves.

    Args:
        loss: Computes the loss of one batch; its gradients are left for the caller to clear.
        device: Torch device.

    Returns:
        The precision, and the seconds measured for each (the best of three, after one to warm up).
    """

    def step(precision: Precision) -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        torch.autograd.backward(value)
        float(value.detach())  # waits for the device

    name, seconds = fastest({"fp32": lambda: step("fp32"), "bf16": lambda: step("bf16")})
    return cast(Precision, name), cast(dict[Precision, float], seconds)


@dataclass(frozen=True)
class Probe:
    """How fast a loaded model ran in each of the ways that were tried, and which was chosen.

    Attributes:
        chosen: For example `float32, 2 threads`.
        seconds: Of one forward pass, the best of three, by way.
    """

    chosen: str
    seconds: dict[str, float]

    def __str__(self) -> str:
        measured = ", ".join(f"{way} {1000 * seconds:.3g} ms" for way, seconds in self.seconds.items())
        return f"{self.chosen} (measured: {measured})" if self.seconds else self.chosen


def fastest(ways: dict[str, Callable[[], object]]) -> tuple[str, dict[str, float]]:
    """Time each way in turns, and name the fastest; one that comes first wins unless another is faster by 10 %.

    Returns:
        The name, and the seconds of each (the best of three, after one to warm up).
    """
    seconds = dict.fromkeys(ways, float("inf"))
    for round_ in range(4):
        for name, act in ways.items():
            began = time.perf_counter()
            act()
            spent = time.perf_counter() - began
            if round_:
                seconds[name] = min(seconds[name], spent)
    best = min(seconds, key=lambda name: seconds[name])
    first = next(iter(ways))
    return (best if seconds[best] < 0.9 * seconds[first] else first), seconds


def fastest_threads(forward: Callable[[], object]) -> tuple[int, dict[str, float]]:
    """Set the number of threads with which a forward pass is fastest; one for each power of two up to the cores.

    `OMP_NUM_THREADS` in the environment settles it without measuring: whoever starts one worker per core says so there.

    Returns:
        The number, and the seconds of each that was tried.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return torch.get_num_threads(), {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = [1]
    while counts[-1] * 2 <= cores:
        counts.append(counts[-1] * 2)
    before = torch.get_num_threads()

    def with_threads(count: int) -> None:
        torch.set_num_threads(count)
        forward()

    try:
        name, seconds = fastest({str(count): lambda count=count: with_threads(count) for count in counts})  # type: ignore[misc]
    except BaseException:
        torch.set_num_threads(before)
        raise
    torch.set_num_threads(int(name))
    return int(name), {f"{name} {'thread' if name == '1' else 'threads'}": spent for name, spent in seconds.items()}

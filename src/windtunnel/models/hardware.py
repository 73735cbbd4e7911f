"""What this machine can do, by measurement instead of a guess."""

import time
from collections.abc import Callable
from typing import Literal

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
    seconds: dict[Precision, float] = {"fp32": float("inf"), "bf16": float("inf")}
    for _ in range(4):
        for precision in seconds:
            began = time.perf_counter()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
                value = loss()
            torch.autograd.backward(value)
            float(value.detach())  # waits for the device
            seconds[precision] = min(seconds[precision], time.perf_counter() - began)
    return "bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32", seconds

"""How many FLOPs an accelerator does: a small table of peaks, and what hours at a utilisation amount to."""

from dataclasses import dataclass

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import nearest


@dataclass(frozen=True)
class Accelerator:
    """What a vendor says of one device.

    Attributes:
        name: On the command line.
        peak: Dense bfloat16 FLOPs per second, without structured sparsity.
        source: The vendor's page.
    """

    name: str
    peak: float
    source: str


_TABLE = (
    Accelerator("a100", 312e12, "NVIDIA A100 Tensor Core GPU data sheet"),
    Accelerator("h100", 989.4e12, "NVIDIA H100 Tensor Core GPU data sheet, SXM (half of the figure with sparsity)"),
    Accelerator("h100-pcie", 756e12, "NVIDIA H100 Tensor Core GPU data sheet, PCIe (half of the figure with sparsity)"),
    Accelerator("h200", 989.4e12, "NVIDIA H200 Tensor Core GPU data sheet, SXM (half of the figure with sparsity)"),
    Accelerator("b200", 2.25e15, "NVIDIA DGX B200 data sheet, per GPU (half of the figure with sparsity)"),
    Accelerator("l40s", 362e12, "NVIDIA L40S data sheet (half of the figure with sparsity)"),
    Accelerator("rtx-4090", 165.2e12, "NVIDIA Ada GPU architecture whitepaper, bf16 with fp32 accumulation"),
    Accelerator("mi250x", 383e12, "AMD Instinct MI250X data sheet"),
    Accelerator("mi300x", 1307.4e12, "AMD Instinct MI300X data sheet"),
    Accelerator("tpu-v4", 275e12, "Google Cloud TPU v4 documentation, per chip"),
    Accelerator("tpu-v5e", 197e12, "Google Cloud TPU v5e documentation, per chip"),
    Accelerator("tpu-v5p", 459e12, "Google Cloud TPU v5p documentation, per chip"),
    Accelerator("tpu-v6e", 918e12, "Google Cloud TPU v6e documentation, per chip"),
)
ACCELERATORS = {item.name: item for item in _TABLE}
"""Accelerators by name."""


def find_accelerator(name: str) -> Accelerator:
    """The accelerator of that name.

    Raises:
        UsageError: There is none.
    """
    if name.lower() not in ACCELERATORS:
        raise UsageError(f"No accelerator is named {name!r}; {nearest(name.lower(), list(ACCELERATORS))}")
    return ACCELERATORS[name.lower()]


def available_flops(hours: float, hardware: str, utilisation: float) -> float:
    """FLOPs that a number of device-hours amounts to.

    Args:
        hours: Of one device; a thousand devices for a day are 24,000.
        hardware: Name of the accelerator.
        utilisation: Share of the peak that training reaches (model FLOPs utilisation: 0.3 to 0.5 for large dense
            models on many devices; measure yours).

    Raises:
        UsageError: An unknown name, no hours, or a utilisation outside 0 to 1.
    """
    if not 0 < hours < float("inf"):
        raise UsageError(f"The device-hours must be positive, not {hours}.")
    if not 0 < utilisation <= 1:
        raise UsageError(f"The utilisation is a share of the peak, above 0 and at most 1, not {utilisation}.")
    return hours * 3600 * find_accelerator(hardware).peak * utilisation


def device_hours(flops: float, hardware: str, utilisation: float) -> float:
    """Hours of one device that a budget takes; the inverse of `available_flops`."""
    return flops / available_flops(1.0, hardware, utilisation)

"""Several processes train one model: applied from outside to an unmodified model, under `torchrun`.

    torchrun --nproc-per-node 2 train.py      # in it: train(model, ..., distribute="fsdp")

Rows are split by process (`Source.rows`), losses are summed over processes, and only process 0 writes.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from windtunnel.laboratory.errors import WindtunnelError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: Number of this process, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1


def processes() -> Processes:
    """This process's place: alone, unless `torch.distributed` is initialised."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Processes()
    return Processes(distributed.get_rank(), distributed.get_world_size())


def start(device: str = "cpu") -> Processes:
    """Join the process group that `torchrun` describes in the environment: NCCL on GPUs, gloo on CPUs.

    Raises:
        WindtunnelError: The environment describes none.
    """
    if "RANK" not in os.environ:
        raise WindtunnelError("No process group is described here; start this program with torchrun.")
    if torch.device(device).type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.device(device).type == "cuda" else "gloo")
    return processes()


def distribute(model: nn.Module, how: Literal["none", "ddp", "fsdp"]) -> nn.Module:
    """Make a model train over all processes.

    Args:
        model: On its device; under `ddp` it is wrapped, under `fsdp` its blocks are sharded in place.
        how: `ddp` copies the model to every process and averages gradients; `fsdp` (fully_shard) splits weights,
            gradients and optimizer states over them.

    Raises:
        WindtunnelError: There is no process group.
    """
    if how == "none":
        return model
    if processes().world == 1 and not distributed.is_initialized():
        raise WindtunnelError(f"distribute={how!r} needs a process group; start with torchrun and parallel.start().")
    if how == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    from torch.distributed.fsdp import fully_shard

    for block in getattr(model, "blocks", []):
        fully_shard(block)
    fully_shard(model)
    return model


def synchronised(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Leave gradients unsummed over processes until the last micro-batch of a step."""
    if isinstance(model, nn.parallel.DistributedDataParallel) and not last:
        return model.no_sync()
    return nullcontext()


def sum_over_processes(*values: Tensor) -> None:
    """Sum each tensor over all processes, in place."""
    if processes().world > 1:
        for value in values:
            distributed.all_reduce(value)


def wait() -> None:
    """Wait until every process is here."""
    if processes().world > 1:
        distributed.barrier()

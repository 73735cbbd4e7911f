"""Functions that worker processes import."""

import os
import signal
import time
from pathlib import Path

from windtunnel.laboratory.sweeps import sweep


def square(number):
    return number * number


def odd_fails(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def two_dies(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leaves(code):
    """End the worker process with an exit code."""
    os._exit(code)


def gives_up(_):
    raise SystemExit("giving up")


def kind(item):
    return type(item).__name__


def threads(_):
    return os.environ["OMP_NUM_THREADS"]


def torch_threads(_):
    import torch

    return torch.get_num_threads()


def unsendable(_):
    return lambda: None


def descend(seed):
    """Losses and weights of a small model in gradient descent; long sums, whose last bits depend on the threads."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(40_000, 8, generator=generator), torch.randn(40_000, 4, generator=generator)
    weight = torch.zeros(8, 4, requires_grad=True)
    losses = []
    for _ in range(10):
        loss = ((inputs @ weight).tanh() - targets).square().sum() / len(inputs)
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - 0.5 * gradient).detach().requires_grad_()
        losses.append(loss.item())
    return losses, weight.tolist()


def ray_address(_):
    """Where this node of Ray listens."""
    import ray

    return ray.util.get_node_ip_address()


def call(item):
    """One of these functions by its name, so that one sweep meets everything that can become of an item."""
    name, argument = item
    return globals()[name](argument)


def together(place):
    """How many items were at work at once, seen from this one, which waits for another; after two have met, none waits.

    `place` is a directory and the seconds to wait.
    """
    directory, patience = Path(place[0]), place[1]
    mine = directory / f"{os.getpid()}.works"
    mine.touch()
    until, seen = time.monotonic() + patience, 1
    while time.monotonic() < until and not (directory / "met").exists():
        seen = max(seen, len(list(directory.glob("*.works"))))
        if seen > 1:
            (directory / "met").touch()
        time.sleep(0.01)
    time.sleep(0.1)  # whoever is met has the time to look, too
    mine.unlink()
    return seen


def nested(numbers):
    """A sweep inside a sweep."""
    return [outcome.value for outcome in sweep(square, numbers, workers=1)]


def tick(path):
    """Write the time to a file for ever."""
    while True:
        Path(path).write_text(f"{os.getpid()} {time.time()}")
        time.sleep(0.02)


def record(run):
    """Keep a value in a sub-run."""
    run.log(1, value=1.0)
    return run.stage("value", lambda: {"seed": run.seed})


if __name__ == "__main__":  # a parent that is killed or interrupted while its workers work
    import sys

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background was started without it
    sweep(tick, sys.argv[1:], workers=2)

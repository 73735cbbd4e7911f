"""Functions that worker processes import."""

import os
import signal


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


def threads(_):
    return os.environ["OMP_NUM_THREADS"]


def unsendable(_):
    return lambda: None


def record(run):
    """Keep a value in a sub-run."""
    run.log(1, value=1.0)
    return run.stage("value", lambda: {"seed": run.seed})

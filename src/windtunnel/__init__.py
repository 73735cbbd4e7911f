"""windtunnel: a laboratory that runs the science of language models end to end.

    import windtunnel as wt

    model = wt.load("smollm2-135m")
    run = wt.run("induction-heads", preset="quick")

Importing this package loads nothing heavy; the names below load what they need when first used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windtunnel import scaling
    from windtunnel.laboratory.run import Run
    from windtunnel.models.interface import LanguageModel

__version__ = "0.1.0"
__all__ = ["__version__", "load", "run", "scaling"]


def __getattr__(name: str) -> Any:
    """Import the fields that are reached as `wt.FIELD` when they are used."""
    if name == "scaling":
        from importlib import import_module

        return import_module("windtunnel.scaling")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(name: str | Path, **options: Any) -> "LanguageModel":
    """Load a model: a known name, a directory, a `.gguf` file, a run's checkpoint or a Hugging Face name.

    Args:
        name: For example `smollm2-135m`, `runs/induction-heads-quick`, `./model.gguf`, `openai-community/gpt2`.
        **options: Passed to `windtunnel.models.interface.load`.

    Raises:
        windtunnel.laboratory.errors.WindtunnelError: The model cannot be found or read.
    """
    from windtunnel.models.interface import load as load_model

    return load_model(name, **options)


def run(
    study: str,
    preset: str = "quick",
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    model: str | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    resume: bool = False,
    null: bool = False,
    workers: int | None = None,
    progress: str = "auto",
) -> "Run":
    """Run a study and return its finished run: `.findings`, `.directory`, `.report()`.

    Args:
        study: Name as `windtunnel list` shows it.
        preset: `quick`, `full` or `paper`.
        settings: Changes to the preset, by field.
        seed: Replaces the preset's seed.
        model: A model to study instead of the study's own, where the study allows it.
        device: Torch device name.
        out: The run's directory; by default a new one under `runs/`.
        resume: Continue a killed run in `out`.
        null: Run the null control.
        workers: Worker processes for sweeps; by default one per core.
        progress: `auto`, `plain` or `silent`.

    Raises:
        windtunnel.laboratory.errors.UsageError: An unknown name or a value out of range.
    """
    from windtunnel.laboratory.study import execute
    from windtunnel.studies import find

    return execute(
        find(study),
        preset_name=preset,
        settings=settings,
        seed=seed,
        model=model,
        device=device,
        out=out,
        resume=resume,
        null=null,
        workers=workers,
        progress=progress,
    )

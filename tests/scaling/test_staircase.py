"""The staircase of repairs: planted, as it is published, and from files that hold something else."""

import lzma
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from windtunnel.laboratory.errors import DataError
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.staircase import read_published, staircase


def published_rows(law, hparams, warmup, decay, data_set="rw"):
    """A few runs in the columns of Porian et al.'s frame."""
    found = []
    for width, depth in ((96, 3), (128, 4), (192, 5), (256, 6), (384, 8), (512, 9), (768, 12), (1024, 14), (1536, 18)):
        hidden = 256 * -(-int(8 * width / 3) // 256)
        bare = (4 * width + 3 * hidden) * width * depth
        steps = np.unique(np.geomspace(20, 3e5, 400).astype(int))
        losses = law.formula(bare + 50432 * width, steps * 128.0 * 2048)
        found.append(
            {
                "dataset": data_set, "hparams": hparams, "warmup": warmup, "decay": decay, "width": width,
                "depth": depth, "seq_len": 2048, "bs": 128, "vocab_size": 50432,
                "train/loss": dict(zip(steps.tolist(), losses.tolist(), strict=True)),
                "val/loss": dict(zip(steps.tolist(), losses.tolist(), strict=True)),
            }
        )  # fmt: skip
    return found


def test_the_staircase_reads_the_published_format():
    law = Chinchilla(1.8, 480.0, 2100.0, 0.35, 0.37)
    runs = published_rows(law, "base", "long", "kaplan") + published_rows(law, "tuned", "short", "const")
    found = staircase(runs)
    assert [stair.name for stair in found] == [
        "Kaplan et al. reproduced",
        "unembedding counted",
        "optimizer tuned by size",
    ]
    assert [stair.published for stair in found] == [0.835, 0.706, 0.497]
    bare, head, tuned = (stair.exponent for stair in found)
    assert head == pytest.approx(law.exponent, abs=0.02)
    assert tuned == head  # the same losses
    assert bare - head > 0.1  # of the same runs
    with pytest.raises(DataError, match="owt2"):
        staircase(runs, "owt2")
    with pytest.raises(DataError, match="no column 'decay'"):
        staircase([{"dataset": "rw", "hparams": "base", "warmup": "long"}])


def summary(losses):
    """One row as in `summary_df.pickle.xz`: the losses of all sizes at each budget."""
    pandas = pytest.importorskip("pandas")

    def table(columns):  # as older versions of pandas write text
        return pandas.DataFrame(list(columns.values()), index=pandas.Index(list(columns), dtype=object), dtype=object).T

    budgets = np.array([1e17, 4e17, 1.6e18])
    sizes = np.geomspace(1e6, 1e9, 25)
    pairs = {
        "flops": budgets.tolist(),
        "n_vals": [sizes.tolist()] * 3,
        "loss_vals": [losses(sizes, budget).tolist() for budget in budgets],
    }
    row = {
        "dataset": "rw", "hparams": "tuned", "warmup": "short", "decay": "const", "param_count": "standard",
        "val": "val", "optimal_pairs": table(pairs),
    }  # fmt: skip
    return table({name: [value] for name, value in row.items()})


def test_losses_at_budgets_are_read_as_runs_are(tmp_path):
    law = Chinchilla(1.8, 480.0, 2100.0, 0.35, 0.37)
    frame = summary(lambda sizes, budget: law.formula(sizes, budget / 6 / sizes))
    path = tmp_path / "summary_df.pickle.xz"
    path.write_bytes(lzma.compress(pickle.dumps(frame, protocol=4)))
    (found,) = staircase(read_published(path))
    assert found.name == "optimizer tuned by size"
    assert found.exponent == pytest.approx(law.exponent, abs=0.01)
    assert found.parameters == pytest.approx(law.optimum(found.flops).parameters, rel=0.05)


class Harmful:
    def __reduce__(self):
        return os.makedirs, ("should-not-be-there",)


@pytest.mark.parametrize("content", [b"", b"no archive", lzma.compress(b"no pickle"), lzma.compress(pickle.dumps([1]))])
def test_another_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "table.pickle.xz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="table"):
        read_published(path)
    with pytest.raises(DataError, match="missing"):
        read_published(tmp_path / "missing")


def test_a_pickle_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "table.pickle.xz"
    path.write_bytes(lzma.compress(pickle.dumps(Harmful())))
    with pytest.raises(DataError, match=r"makedirs.*not opened"):
        read_published(path)
    assert not (tmp_path / "should-not-be-there").exists()


@pytest.mark.parametrize(("name", "data_set"), [("summary_df", "rw"), ("summary_df_owt2", "owt2")])
def test_the_published_staircase(name, data_set):
    path = Path(os.environ.get("WINDTUNNEL_DATA", "")) / "porian-2024" / f"{name}.pickle.xz"
    if not path.is_file():
        pytest.skip(f"needs porian-2024/{name}.pickle.xz in the directory that WINDTUNNEL_DATA names")
    stairs = staircase(read_published(path), data_set)
    assert len(stairs) == 5
    assert max(abs(stair.exponent - stair.published) for stair in stairs) < 0.02

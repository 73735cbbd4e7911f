"""The study end to end at a small size, its parts, and its null control."""

import json

import numpy as np
import pytest
import torch

from tests.studies.outcomes import effects_replicated, verdicts
from windtunnel.cli import main
from windtunnel.data.images import digits
from windtunnel.data.worlds.pictures import Pictures, every_shape, one_shape
from windtunnel.laboratory.study import execute
from windtunnel.models.counting import count_parameters
from windtunnel.models.transformer import Transformer
from windtunnel.scaling.modalities import TABLE_5
from windtunnel.studies import find
from windtunnel.studies.autoregressive_scaling import CLAIMS, PRESETS, Config
from windtunnel.studies.autoregressive_scaling.domains import problems, shape
from windtunnel.studies.autoregressive_scaling.laws import straightness
from windtunnel.studies.autoregressive_scaling.sequences import collapse
from windtunnel.studies.autoregressive_scaling.training import (
    Classifier,
    LabelledRows,
    _accuracies,
    losses_of,
    sample_images,
)

STUDY = find("autoregressive-scaling")

TINY = {
    "experiments": ["images", "video", "captions", "maths", "text", "classification", "aspect", "language"],
    "image_sizes": [[16, 1], [16, 2], [32, 1], [32, 2]],
    "image_steps": 12,
    "video_sizes": [[16, 1]],
    "video_steps": 8,
    "caption_sizes": [[8, 1], [16, 1], [24, 1]],
    "mixed_sizes": [[16, 1]],
    "caption_steps": 8,
    "blank_steps": 4,
    "maths_sizes": [[16, 1], [32, 1]],
    "maths_steps": 8,
    "maths_rows": [32, 64],
    "language_context": 16,
    "language_sizes": [[16, 1]],
    "language_steps": 8,
    "language_rows": 64,
    "text_sizes": [[8, 1], [16, 1], [24, 1], [32, 1]],
    "text_steps": 12,
    "classifier": [16, 1],
    "generative_steps": 6,
    "classify_steps": 6,
    "aspect_parameters": 6_000,
    "aspect_ratios": [4, 16, 32],
    "held_out": 64,
    "samples": 4,
    "evaluations": 4,
}
"""Every part runs, nothing is learned."""

IDENTITIES = {
    "published-loss",
    "published-image",
    "table-5-sizes",
    "planted-constant",
    "planted-exponent",
    "planted-coverage",
    "tokens-of-compute",
    "compute-exponent",
    "image-floor",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return execute(STUDY, settings=TINY, out=tmp_path_factory.mktemp("autoregressive") / "run", workers=1)


def test_every_domain_is_trained_and_shown_and_identities_hold(tiny):
    found = verdicts(tiny)
    assert {claim.id for claim in CLAIMS if not claim.effect} == IDENTITIES
    assert {found[name] for name in IDENTITIES} == {"replicated"}
    assert "not tested" not in found.values()
    contents = json.loads((tiny.directory / "contents.json").read_text())
    figures = {item["name"] for item in contents if item["kind"] == "figure"}
    assert figures >= {"images-ladder", "text-ladder", "video-frames", "captions-information", "maths", "aspect"}
    assert figures >= {"images-samples", "captions-samples", "digits-samples", "images-percentiles", "images-other"}
    assert figures >= {"language-positions", "maths-data"}
    assert all((tiny.directory / "figures" / f"{name}.svg").stat().st_size > 2_000 for name in figures)


def test_a_finished_run_is_read_back(tiny):
    again = execute(STUDY, settings=TINY, out=tiny.directory, workers=1, resume=True)
    assert verdicts(again) == verdicts(tiny)


def test_a_small_null_replicates_no_effect(tmp_path):
    learns = {
        **TINY,
        "experiments": ["images", "text", "video", "captions", "classification"],
        "text_steps": 60,
        "video_steps": 30,
        "image_steps": 20,
        "classify_steps": 20,
    }
    assert not effects_replicated(execute(STUDY, settings=learns, out=tmp_path / "null", workers=1, null=True))


def test_text_of_known_entropy_is_learned_and_its_null_is_not(tmp_path):
    settings = {
        **TINY,
        "experiments": ["text"],
        "text_sizes": [[8, 1], [16, 1], [32, 1], [48, 1]],
        "text_steps": 150,
        "text_vocabulary": 24,
        "batch_size": 16,
        "learning_rate": 1e-2,
    }
    ends = {}
    for null in (False, True):
        run = execute(STUDY, settings=settings, out=tmp_path / f"{null}", workers=1, null=null)
        models = json.loads((run.directory / "artifacts" / "text-models-table.json").read_text())["rows"]
        ends[null] = models[-1]["loss (nats)"] - models[-1]["entropy"]
        assert ends[null] > -3 * models[-1]["standard error"]
    assert ends[False] < 0.5 * ends[True]
    assert not effects_replicated(run)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quick_null_replicates_no_effect(tmp_path):
    assert not effects_replicated(execute(STUDY, out=tmp_path / "null", null=True))


def test_the_shape_has_the_sizes_of_table_5():
    for parameters, width, layers, _ in TABLE_5:
        count = count_parameters(shape(256, 192, width, layers))
        assert count.matrices == 3 * layers * width**2
        assert count.matrices == pytest.approx(parameters, rel=0.01)


def test_sampled_images_are_images_of_a_seed():
    model = Transformer(shape(7, 64, 16, 1, "rotary"))
    images = sample_images(model, 3, seed=1)
    assert images.shape == (3, 64)
    assert np.array_equal(images, sample_images(model, 3, seed=1))
    begun = torch.tensor([[6, 1, 2], [6, 0, 0]])
    assert sample_images(model, 2, seed=0, prompts=begun).shape == (2, 62)


def test_losses_are_those_of_single_tokens():
    model = Transformer(shape(7, 16, 16, 1, "rotary"))
    rows = torch.randint(7, (5, 17), generator=torch.Generator().manual_seed(0))
    logits = model(rows[:, :-1]).log_softmax(-1)
    expected = -logits.gather(2, rows[:, 1:, None])[..., 0]
    assert np.allclose(losses_of(model, rows), expected.detach().numpy(), atol=1e-5)


def test_a_classifier_averages_features_and_reads_them():
    train, _ = digits()
    model = Classifier(Transformer(shape(train.levels + 1, 64, 16, 1, "rotary")), 10, seed=0)
    batch = LabelledRows(train, 0).rows(0, 6)
    features = model.decoder.features(batch["tokens"][:, :-1]).mean(1)
    assert torch.allclose(model(batch["tokens"]), features @ model.head.weight.T)
    place = LabelledRows(train, 0)._place(3)
    assert int(batch["labels"][3]) == int(train.labels[place])


def test_problems_are_one_a_row_and_only_right_answers_count():
    rows = problems(Config(), "larger", 3, 5, 0)
    assert rows.shape == (5, 57)
    assert torch.equal(rows, problems(Config(), "larger", 3, 5, 0))

    class Knows(torch.nn.Module):
        """Says the next character of the rows, but for one answer."""

        def forward(self, tokens):
            said = torch.nn.functional.one_hot(rows[:, 1:], 16).float()
            said[0, 10] = said[0, 10].roll(1)  # the answer begins in column 10
            return said

    assert _accuracies(Knows(), {("larger", 3): rows}) == {("larger", 3): 0.8}


def test_a_law_is_judged_only_where_the_loss_falls():
    flat = [{"entropy": 1.0, "loss": 2.0 - 0.01 * index, "parameters": 10**index} for index in range(4)]
    steep = [{"entropy": 1.0, "loss": 1 + 10**-index, "parameters": 10**index} for index in range(4)]
    assert np.isnan(straightness(flat))
    assert straightness(steep) == pytest.approx(1)


def test_collapse_compares_at_equal_loss_and_at_equal_steps():
    losses = np.linspace(2, 0.5, 10)
    ladder = [
        {"curve": losses, "accuracy_curve": 1 - losses / 2},
        {"curve": losses - 0.4, "accuracy_curve": 1 - (losses - 0.4) / 2},
    ]
    at_loss, at_steps = collapse(ladder)
    assert at_loss == pytest.approx(0, abs=1e-9)
    assert at_steps == pytest.approx(0.2)
    ladder.append({"curve": losses - 1.8, "accuracy_curve": 1.1 - (losses - 1.8) / 2})  # meets the second only
    assert collapse(ladder)[0] == pytest.approx(0.1)
    assert np.isnan(collapse([ladder[0], ladder[2]])[0])


@pytest.mark.parametrize(
    ("setting", "word"),
    [("experiments=music", "experiments"), ("image_steps=0", "image_steps"), ("labelled=5", "labelled")],
)
def test_bad_settings_are_one_sentence_and_usage(setting, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "autoregressive-scaling", "--set", setting, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err


def test_presets_differ_in_size_only():
    quick, full, paper = (PRESETS[name] for name in ("quick", "full", "paper"))
    assert quick.image_steps < full.image_steps < paper.image_steps
    assert set(quick.experiments) == set(full.experiments)
    world = Pictures(one_shape(8, 2, every_shape(8, (5, 6))), 0)
    assert world.levels == 6  # other images have the same levels

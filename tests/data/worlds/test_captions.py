import itertools
import math

import pytest
import torch

from windtunnel.data.worlds.captions import UNSAID, CaptionedPictures, description
from windtunnel.data.worlds.pictures import every_shape
from windtunnel.laboratory.errors import UsageError


def brute_force_information(side, shades, sizes, silence):
    """The sum over all pairs of a picture and a caption, from shapes and words, without the world's own tables."""
    joint = {}
    scenes = [(shape, shade) for shape in every_shape(side, sizes) for shade in range(1, shades + 1)]
    for shape, shade in scenes:
        picture = tuple((shape.mask(side) * shade).tolist())
        words = description(shape, shade, side)
        for said in itertools.product((True, False), repeat=len(words)):
            caption = tuple(word if one else UNSAID for word, one in zip(words, said, strict=True))
            chance = math.prod(1 - silence if one else silence for one in said) / len(scenes)
            joint[picture, caption] = joint.get((picture, caption), 0.0) + chance
    pictures, captions = {}, {}
    for (picture, caption), chance in joint.items():
        pictures[picture] = pictures.get(picture, 0.0) + chance
        captions[caption] = captions.get(caption, 0.0) + chance
    return sum(p * math.log(p / pictures[a] / captions[b]) for (a, b), p in joint.items() if p > 0)


@pytest.mark.parametrize("silence", [0.0, 0.3])
@pytest.mark.parametrize("direction", ["text-to-image", "image-to-text"])
def test_information_is_the_sum_over_all_pairs(direction, silence):
    world = CaptionedPictures(direction, 0, side=4, sizes=(2, 3), silence=silence)
    exact = brute_force_information(4, 2, (2, 3), silence)
    assert world.information == pytest.approx(exact, abs=1e-12)
    rows = world.rows(0, 2_000)["tokens"]
    pointwise = world.pointwise_information(rows)
    assert abs(pointwise.mean().item() - exact) < 5 * pointwise.std().item() / 2_000**0.5 + 1e-9


def test_both_directions_are_the_same_pairs_in_other_order():
    there, back = (CaptionedPictures(direction, 7) for direction in ("text-to-image", "image-to-text"))
    one, other = there.rows(0, 20)["tokens"], back.rows(0, 20)["tokens"]
    assert torch.equal(one[:, there.given], other[:, back.asked])
    assert torch.equal(one[:, there.asked], other[:, back.given])
    assert there.information == back.information
    assert torch.allclose(there.pointwise_information(one), back.pointwise_information(other))
    assert UNSAID in " ".join(there.caption(row[there.given]) for row in one)


def test_blank_and_unpaired_rows():
    world = CaptionedPictures("text-to-image", 0, blank=0.5)
    rows = world.rows(0, 512)["tokens"]
    blank = (rows[:, world.given] == world.blank_token).all(dim=1)
    assert 0.4 < blank.float().mean() < 0.6
    assert not (rows[:, world.asked] == world.blank_token).any()
    assert torch.equal(world.blanked(rows)[:, world.asked], rows[:, world.asked])
    assert int(rows.max()) < world.vocabulary
    unpaired = CaptionedPictures("text-to-image", 0, paired=False, silence=0.0)
    assert unpaired.information == 0
    drawn = unpaired.pointwise_information(unpaired.rows(0, 512)["tokens"])
    assert drawn.isinf().float().mean() > 0.8  # almost all captions are wrong


def test_a_probability_out_of_range_is_one_sentence():
    with pytest.raises(UsageError):
        CaptionedPictures("text-to-image", 0, silence=1.5)

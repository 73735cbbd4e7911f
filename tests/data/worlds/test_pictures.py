import itertools
import math

import pytest
import torch

from windtunnel.data.worlds.pictures import Pictures, every_shape, one_shape, two_shapes
from windtunnel.laboratory.errors import UsageError

SHAPES = every_shape(3, (2, 3))
UNEVEN = torch.linspace(1, 3, len(SHAPES))


def small(**options):
    return Pictures(one_shape(3, 1, SHAPES), 0, probabilities=UNEVEN, **options)


def every_image(world):
    images = torch.tensor(list(itertools.product(range(world.levels), repeat=world.context)))
    return torch.cat([torch.full((len(images), 1), world.start), images], dim=1)


@pytest.mark.parametrize(
    "world",
    [
        small(grain=(1.0,)),
        Pictures(torch.tensor([[0, 1, 1, 2], [0, 1, 2, 0], [2, 0, 0, 1], [0, 1, 1, 2]]), 0, grain=(0.7, 0.3)),
    ],
    ids=["shapes", "grained"],
)
def test_entropy_and_every_pixels_share_of_it_are_those_of_all_images(world):
    logs = world.log_probabilities(every_image(world))
    whole = logs.sum(dim=1)
    assert whole.exp().sum().item() == pytest.approx(1, abs=1e-12)
    weight = whole.exp()
    by_pixel = torch.where(weight[:, None] > 0, -weight[:, None] * logs, 0.0).sum(dim=0)[1:]
    assert torch.allclose(by_pixel, world.pixel_entropy, atol=1e-12)
    assert world.entropy == pytest.approx(by_pixel.sum().item(), abs=1e-12)
    assert world.entropy_rate == pytest.approx(world.entropy / world.context, abs=1e-12)


def test_entropy_is_that_of_the_table_and_of_the_grain():
    masks = {tuple(shape.mask(3).tolist()) for shape in SHAPES}
    chances = dict.fromkeys(masks, 0.0)
    for shape, weight in zip(SHAPES, UNEVEN.double() / UNEVEN.double().sum(), strict=True):
        chances[tuple(shape.mask(3).tolist())] += weight.item()
    of_table = -sum(p * math.log(p) for p in chances.values())
    assert len(masks) < len(SHAPES)  # equal pictures are one
    assert small().entropy == pytest.approx(of_table - 9 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1)), abs=1e-12)
    assert small(grain=(1.0,)).entropy == pytest.approx(of_table, abs=1e-12)


def test_what_is_drawn_has_the_probabilities_that_are_told():
    world = Pictures(one_shape(2, 1, every_shape(2, (2,))), 3, grain=(0.6, 0.4))
    images = every_image(world)
    expected = world.log_probabilities(images).sum(dim=1).exp()
    radix = world.levels ** torch.arange(4)
    places = (world.rows(0, 20_000)["tokens"][:, 1:] * radix).sum(dim=1)
    observed = torch.bincount(places, minlength=world.levels**4)[(images[:, 1:] * radix).sum(dim=1)] / 20_000
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert bool(((observed - expected).abs() <= 5 * error + 1e-12).all())


def test_two_shapes_the_second_before_the_first():
    shapes = every_shape(4, (2, 3))
    table = two_shapes(4, shapes)
    assert len(table) == len(shapes) ** 2
    pair = table[5 * len(shapes) + 9]
    first, second = shapes[5].mask(4), shapes[9].mask(4)
    assert torch.equal(pair == 2, second == 1)
    assert torch.equal(pair == 1, (first == 1) & (second == 0))
    world = Pictures(table, 0)
    tokens = world.rows(0, 400)["tokens"]
    losses = -world.log_probabilities(tokens).sum(dim=1)
    assert abs(losses.mean().item() - world.entropy) < 4 * losses.std().item() / 20


def test_an_image_that_cannot_be_has_no_probability():
    world = small(grain=(1.0,))
    tokens = torch.tensor([[world.start, *[0] * 9]])
    assert world.log_probabilities(tokens).sum().item() == -math.inf


@pytest.mark.parametrize(
    "make",
    [
        lambda: every_shape(4, (5,)),
        lambda: every_shape(4, (3,), ("heart",)),
        lambda: Pictures(torch.zeros(2, 8, dtype=torch.long), 0),
        lambda: Pictures(torch.zeros(2, 9, dtype=torch.long), 0, probabilities=torch.ones(3)),
        lambda: Pictures(torch.zeros(2, 9, dtype=torch.long), 0, grain=(1.0, 0.0)),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(make):
    with pytest.raises(UsageError) as caught:
        make()
    assert "\n" not in str(caught.value)

import os

import pytest
import torch

from windtunnel.data.images import CIFAR, ImageRows, cifar, digits
from windtunnel.data.worlds.entropy import Unigram
from windtunnel.data.worlds.shuffled import Shuffled
from windtunnel.laboratory.errors import UsageError


def test_digits_are_divided_and_keep_their_levels():
    train, test = digits(levels=17)
    assert (len(train.pixels), len(test.pixels)) == (1437, 360)
    assert int(train.pixels.max()) == 16
    assert set(train.labels.tolist()) == set(range(10))
    coarse = digits(levels=4)[0]
    assert torch.equal(coarse.pixels, train.pixels * 4 // 17)
    assert coarse.rows()[:, 0].eq(4).all()
    with pytest.raises(UsageError):
        digits(levels=1)


def test_an_epoch_has_every_image_once_in_another_order():
    train, _ = digits()
    source = ImageRows(train, 3)
    first, second = (source.rows(epoch * source.epoch, source.epoch)["tokens"] for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first.unique(dim=0), train.rows().unique(dim=0))
    assert torch.equal(ImageRows(train, 3).rows(100, 5)["tokens"], first[100:105])


def test_shuffled_rows_keep_their_tokens_and_their_first():
    source = Unigram(torch.ones(50), 30, 0)
    mixed = Shuffled(source, 1)
    before, after = source.rows(0, 40)["tokens"], mixed.rows(0, 40)["tokens"]
    assert torch.equal(before.sort(dim=1).values, after.sort(dim=1).values)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before, after)
    assert torch.equal(after[10:15], Shuffled(source, 1).rows(10, 5)["tokens"])


@pytest.mark.skipif(
    not os.path.exists(os.path.join(os.environ.get("WINDTUNNEL_DATA", "."), CIFAR)), reason="needs WINDTUNNEL_DATA"
)
def test_cifar_is_averaged_down():
    train, test = cifar(8, 16)
    assert train.pixels.shape == (6000, 192)
    assert test.pixels.shape == (1000, 192)
    assert 0 <= int(train.pixels.min()) <= int(train.pixels.max()) < 16
    full = cifar(32, 256)[1].pixels.view(-1, 32, 32, 3).double()
    small = cifar(16, 256)[1].pixels.view(-1, 16, 16, 3)
    means = full.view(-1, 16, 2, 16, 2, 3).mean(dim=(2, 4))
    assert (means - small).abs().max() < 1


def test_a_missing_file_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("WINDTUNNEL_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="WINDTUNNEL_DATA"):
        cifar()
    with pytest.raises(UsageError):
        cifar(12)

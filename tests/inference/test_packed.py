import gc

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from windtunnel.inference import packed
from windtunnel.inference.packed import Packed, in_blocks, transposed

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="weights are packed with oneDNN only")


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3, bias=False), nn.Linear(3, 3))


def multiplies(linear: nn.Linear) -> packed.Multiply:
    [product] = Packed(linear, 4).products.values()
    return product.multiply


@pytest.mark.parametrize("layout", [in_blocks, transposed])
@pytest.mark.parametrize("shape", [(1, 5), (8, 5), (1, 1, 5), (1, 2, 5), (8, 2, 5)])
def test_packed_weights_multiply_as_the_layer_does_and_are_gone_afterwards(layout, shape, monkeypatch):
    monkeypatch.setattr(packed, "fastest_layout", lambda rows: layout)
    model, x = layers(), torch.randn(shape)
    with torch.no_grad():
        before = model(x)
        weights = Packed(model, shape[0])
        assert len(weights.products) == 3
        with weights:
            inside = model(x)
            with pytest.raises(RuntimeError), Packed(model, shape[0]):
                raise RuntimeError  # another stream of the same model changes nothing
            assert_close(model(x), inside, rtol=0, atol=0)
        assert_close(inside, before)
        assert torch.equal(model(x), before)


@pytest.mark.parametrize(("threads", "capability"), [(1, "AVX2"), (1, "AVX512"), (2, "AVX2")])
def test_a_row_alone_reads_each_weight_once_and_more_rows_depend_on_the_processor(threads, capability, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert packed.fastest_layout(1) is transposed
    assert packed.fastest_layout(16) is (transposed if (threads, capability) == (1, "AVX2") else in_blocks)


def test_copies_are_kept_while_the_weights_stay_what_they_were():
    linear, other = nn.Linear(64, 48), nn.Linear(64, 48)
    first = multiplies(linear)
    assert multiplies(linear) is first
    assert multiplies(other) is not first
    with torch.no_grad():
        linear.bias += 1  # biases are read where they are
    assert multiplies(linear) is first


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight.data.mul_(1.001),  # not seen by autograd's count of versions
        lambda weight: weight.data.neg_(),
        lambda weight: weight.data.copy_(weight.data.flip(1).clone()),
        lambda weight: weight.data.copy_(weight.data.flip(0).clone()),
        lambda weight: weight.data[3, 7].add_(1e-3),
        lambda weight: weight.data[3, 7].fill_(float("nan")),
    ],
)
def test_a_change_of_the_weights_is_seen(change):
    linear, x = nn.Linear(64, 48), torch.randn(4, 64)
    first = multiplies(linear)
    change(linear.weight)
    assert multiplies(linear) is not first
    with torch.no_grad(), Packed(linear, 4):
        inside = linear(x)
    assert_close(inside, linear(x), equal_nan=True)


def test_a_layer_that_is_replaced_has_its_own_copy():
    model, x = layers(), torch.randn(4, 5)
    Packed(model, 4)
    model[0] = nn.Linear(5, 7)
    with torch.no_grad():
        with Packed(model, 4):
            inside = model(x)
        assert_close(inside, model(x))


def test_copies_go_with_the_model_and_those_of_a_large_one_are_not_kept(monkeypatch):
    gc.collect()
    before = len(packed._KEPT)
    model = layers()
    weights = Packed(model, 4)
    assert len(packed._KEPT) == before + 3
    del model, weights
    gc.collect()
    assert len(packed._KEPT) == before
    monkeypatch.setattr(packed, "MOST_KEPT", 3 * 64 * 48)
    large = nn.Linear(64, 48)
    assert multiplies(large) is not multiplies(large)
    assert len(packed._KEPT) == before

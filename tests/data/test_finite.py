import pytest
import torch

from windtunnel.data.finite import FiniteRows
from windtunnel.laboratory.errors import UsageError

TOKENS = torch.arange(35).view(7, 5)


def test_every_row_comes_once_an_epoch_in_another_order_each_time():
    source = FiniteRows(TOKENS, 35, 0)
    assert (source.epoch, source.context, source.size) == (7, 4, 28)
    first, second = source.rows(0, 7)["tokens"], source.rows(7, 7)["tokens"]
    assert torch.equal(first.sort(dim=0).values, TOKENS)
    assert torch.equal(second.sort(dim=0).values, TOKENS)
    assert not torch.equal(first, second)


def test_rows_do_not_depend_on_how_they_are_asked_for():
    source, same = FiniteRows(TOKENS, 35, 1), FiniteRows(TOKENS, 35, 1)
    whole = source.rows(0, 20)["tokens"]
    assert torch.equal(whole, torch.cat([same.rows(0, 3)["tokens"], same.rows(3, 17)["tokens"]]))
    assert whole.dtype == torch.long


@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (5,)])
def test_nothing_to_predict_is_one_sentence(shape):
    with pytest.raises(UsageError):
        FiniteRows(torch.zeros(shape, dtype=torch.long), 35, 0)

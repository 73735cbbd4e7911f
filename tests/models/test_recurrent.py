"""The LSTM language model: counts, memory, order, and the loop that trains it."""

import torch

from windtunnel.data.worlds.copying import PastedSegments
from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.counting import count_parameters
from windtunnel.models.recurrent import Recurrent, RecurrentConfig, count_recurrent, matched, recurrent_flops
from windtunnel.training.configuration import TrainingConfig
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

SHAPE = RecurrentConfig(vocabulary=20, context=16, layers=2, width=12)


def model(seed=0):
    return Recurrent(SHAPE, torch.Generator().manual_seed(seed))


def test_the_count_is_exact():
    for layers, width in ((1, 3), (2, 12), (3, 8)):
        shape = RecurrentConfig(vocabulary=20, context=16, layers=layers, width=width)
        assert count_recurrent(shape).total == sum(p.numel() for p in Recurrent(shape).parameters())
    assert recurrent_flops(SHAPE) == 2 * (8 * 2 * 144 + 12 + 12 * 20)


def test_a_matched_model_is_as_large():
    for layers, width in ((2, 16), (2, 32), (4, 64)):
        shape = TransformerConfig(vocabulary=20, context=16, layers=layers, width=width, heads=1)
        wanted, found = count_parameters(shape), count_recurrent(matched(shape))
        assert abs(found.non_embedding / wanted.non_embedding - 1) < 0.06


def test_it_is_the_textbook_cell():
    shape = RecurrentConfig(vocabulary=5, context=4, layers=1, width=3)
    lstm = Recurrent(shape, torch.Generator().manual_seed(1))
    tokens = torch.tensor([[0, 3, 1, 4]])
    hidden, cell = torch.zeros(3), torch.zeros(3)
    cells = lstm.lstm
    for place, token in enumerate(tokens[0]):
        gates = cells.weight_ih_l0 @ lstm.embedding.weight[token] + cells.bias_ih_l0
        gates = gates + cells.weight_hh_l0 @ hidden + cells.bias_hh_l0
        into, forget, candidate, out = gates.split(3)
        cell = forget.sigmoid() * cell + into.sigmoid() * candidate.tanh()
        hidden = out.sigmoid() * cell.tanh()
        logits = lstm.unembedding(lstm.final_normalization(hidden))
        assert torch.allclose(lstm(tokens)[0, place], logits, atol=1e-6)


def test_forget_gates_begin_open_and_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    lstm = model()
    assert torch.equal(before, torch.random.get_rng_state())
    assert lstm.lstm.bias_hh_l0[12:24].eq(1).all()
    assert lstm.lstm.bias_ih_l1.eq(0).all()
    assert torch.equal(lstm.embedding.weight, model().embedding.weight)
    assert not torch.equal(lstm.embedding.weight, model(1).embedding.weight)


def test_a_token_sees_only_what_came_before():
    tokens = torch.randint(20, (2, 16), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 20
    plain, other = model()(tokens), model()(changed)
    assert torch.equal(plain[:, :9], other[:, :9])
    assert not torch.equal(plain[:, 9:], other[:, 9:])


def test_the_loop_trains_it():
    source = PastedSegments(20, 16, seed=0, pastes=0)
    config = TrainingConfig(steps=60, batch_size=16, learning_rate=1e-2, precision="fp32", warmup_steps=5)
    result = train(model(), next_token, source, config)
    assert result.losses[-1][1] < result.losses[0][1] - 0.2

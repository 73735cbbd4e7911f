"""Keys and values a token at a time, in arrays, against the same in tensors, whatever rows come and go."""

import numpy as np
import torch

from windtunnel.inference.cache import BLOCK, Cache

HEADS, WIDTH = 2, 3


def drawn(generator, rows, new):
    return torch.from_numpy(generator.normal(size=(2, rows, new, HEADS, WIDTH)).astype(np.float32))


def test_arrays_hold_what_tensors_do_in_whole_blocks_without_gaps():
    generator = np.random.default_rng(0)
    arrays, tensors = Cache(3), Cache(3)
    start = drawn(generator, 3, 5)
    for cache in (arrays, tensors):
        cache.begin(5, [5, 2, 4], torch.device("cpu"))
        cache.extend(0, *start)
        cache.end()
    for step in range(2 * BLOCK):
        if step == 3:
            arrays.drop(0)
            tensors.drop(0)
        new = drawn(generator, arrays.rows, 1)
        arrays.begin_once()
        tensors.begin(1, None, torch.device("cpu"))
        found = arrays.extend_once(0, new[0, :, 0].numpy(), new[1, :, 0].numpy())
        wanted = tensors.extend(0, *new)
        assert found[0].shape[2] == arrays.columns == -(-(max(arrays.lengths) + 1) // BLOCK) * BLOCK
        for array, tensor in zip(found, wanted, strict=True):
            assert array.shape[0] < 3 or array.flags.c_contiguous  # dropped rows leave room behind the others alone
            assert np.isfinite(array).all()
            for row, length in enumerate(arrays.lengths):
                np.testing.assert_array_equal(array[row, :, : length + 1].swapaxes(0, 1), tensor[row, : length + 1])
        for cache in (arrays, tensors):
            cache.end()
    assert arrays.lengths == tensors.lengths == [4 + 2 * BLOCK, 2 + 2 * BLOCK]

from __future__ import annotations

import numpy as np
import torch

from unpoison.core.pixels import in_calls, luma, to_float, to_uint8

ALL_LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)


def test_every_level_survives():
    batch = to_float(ALL_LEVELS)
    assert batch.shape == (1, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert np.array_equal(to_uint8(batch), ALL_LEVELS)


def test_levels_are_rounded_and_clamped():
    values = torch.tensor([-0.2, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.3]).view(1, 1, 1, 5)
    assert to_uint8(values).ravel().tolist() == [0, 0, 1, 255, 255]


def test_batches_have_one_layout():
    # Channels-last batches take other kernels, whose last bits differ: a block's bytes would depend on its padding.
    for pictures in (ALL_LEVELS, np.asfortranarray(ALL_LEVELS), ALL_LEVELS[:, ::-1]):
        assert to_float(pictures).is_contiguous()


def test_grey_has_no_luma_of_its_own():
    batch = to_float(ALL_LEVELS)
    assert torch.equal(luma(batch), batch[:, :1])


def test_calls_have_one_shape_and_each_image_one_result():
    calls = []

    def compute(rows):
        calls.append(rows)
        return torch.tensor(rows) * 10

    assert torch.cat(in_calls(7, 3, compute)).tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert calls == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert in_calls(0, 3, compute) == []

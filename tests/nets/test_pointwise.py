"""The convolution that keeps to its memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unpoison.nets.pointwise import Pointwise


@pytest.mark.parametrize("channels", [1, 4, 7, 8])
@pytest.mark.parametrize("side", [15, 16])
def test_it_is_a_strided_convolution(channels, side):
    torch.manual_seed(0)
    ours, plain = Pointwise(channels, 8, 2), nn.Conv2d(channels, 8, 1, 2, bias=False)
    plain.load_state_dict(ours.state_dict())
    x = torch.rand(5, channels, side, side, requires_grad=True)
    for net in (ours, plain):
        net(x).square().sum().backward()
    assert ours(x).shape == (5, 8, 8, 8)
    torch.testing.assert_close(ours(x), plain(x))
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


def test_its_gradient_with_few_channels_last_is_the_right_one():
    """On processors with AVX2 alone, oneDNN's writes past its memory, and the process dies."""
    torch.manual_seed(0)
    last = Pointwise(4, 8, 2).to(memory_format=torch.channels_last)
    first = Pointwise(4, 8, 2)
    first.load_state_dict(last.state_dict())
    x = torch.rand(5, 4, 16, 16)
    for net, form in ((first, torch.contiguous_format), (last, torch.channels_last)):
        for _ in range(20):
            net.zero_grad()
            net(x.contiguous(memory_format=form).requires_grad_()).square().sum().backward()
    torch.testing.assert_close(first.weight.grad, last.weight.grad)

"""The speed-training nets: they begin as identities, learn no scale, and the large one has its third convolution."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from unpoison.classify.architectures.hlb import BiasNorm, Group
from unpoison.classify.classifier import build_net
from unpoison.core.errors import SettingsError


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 24, 8, 8, generator=torch.Generator().manual_seed(0))


def test_convolutions_begin_as_identities(images):
    group = Group(24, 32, memory=0.6, heavy=True)
    with torch.no_grad():
        torch.testing.assert_close(group.conv1(images)[:, :24], images)
        deep = torch.rand(2, 32, 4, 4)
        torch.testing.assert_close(group.conv2(deep), deep)
        torch.testing.assert_close(group.conv3(deep), deep)


def test_a_heavy_group_adds_what_two_more_convolutions_make(images):
    group = Group(24, 32, memory=0.6, heavy=True).eval()
    with torch.no_grad():
        halved = F.gelu(group.norm1(F.max_pool2d(group.conv1(images), 2)))
        third = group.norm3(group.conv3(F.gelu(group.norm2(group.conv2(halved)))))
        torch.testing.assert_close(group(images), F.gelu(third) + halved)
        group.heavy = False
        torch.testing.assert_close(group(images), F.gelu(group.norm2(group.conv2(halved))))


def test_widths_of_the_three_sizes():
    with torch.device("meta"):
        channels = {
            name: [group.conv1.out_channels for group in (net.group1, net.group2, net.group3)]
            for name in ("hlb-s", "hlb-m", "hlb-l", "airbench94")
            for net in [build_net(name, classes=10, width=64, seed=0)]
        }
    assert channels == {
        "hlb-s": [64, 256, 256],
        "hlb-m": [128, 384, 384],
        "hlb-l": [128, 512, 512],
        "airbench94": [64, 256, 256],
    }


@pytest.mark.parametrize(("name", "memory"), [("hlb-s", 0.7), ("hlb-m", 0.6), ("airbench94", 0.6)])
def test_normalisation_learns_a_bias_and_forgets_as_published(name, memory):
    net = build_net(name, classes=3, width=8, seed=0)
    norms = [module for module in net.modules() if isinstance(module, BiasNorm)]
    assert not any(norm.weight.requires_grad for norm in norms)
    assert all(norm.bias.requires_grad for norm in norms)
    assert net.group1.norm1.momentum == pytest.approx(1 - memory)
    assert net.group1.norm2.momentum == pytest.approx(0.4)


def test_at_32_pixels_the_maximum_is_over_three_by_three():
    net = build_net("hlb-s", classes=3, width=8, seed=0)
    out = net.group3(net.group2(net.group1(net.stem(torch.rand(2, 3, 32, 32)))))
    assert out.shape == (2, 32, 3, 3)


def test_small_pictures_are_refused():
    with pytest.raises(SettingsError, match="at least 9x9 pixels, got 9x8"):
        build_net("airbench94", classes=3, width=8, seed=0)(torch.zeros(2, 3, 8, 9))

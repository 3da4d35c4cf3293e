"""The vision transformer: the order of its patches, its attention, and positions on other grids."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from unpoison.classify.architectures.vit import Attention, Patches
from unpoison.classify.classifier import build_net
from unpoison.core.errors import SettingsError


def test_patches_go_row_by_row_and_the_channel_runs_fastest():
    images = torch.arange(2 * 3 * 8 * 12).reshape(2, 3, 8, 12)
    patches = Patches()(images)
    assert patches.shape == (2, 6, 48)
    # The fourth patch begins the second row; its sixth pixel is at (1, 1) in it.
    assert patches[1, 3, 15:18].tolist() == images[1, :, 4 + 1, 0 + 1].tolist()
    assert patches[0, 2, :3].tolist() == images[0, :, 0, 8].tolist()


def test_attention_is_scaled_dot_product_attention():
    attention = Attention(32)
    tokens = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    queries, keys, values = (
        part.reshape(2, 5, 8, 4).transpose(1, 2) for part in attention.to_qkv(tokens).chunk(3, dim=2)
    )
    expected = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).reshape(2, 5, 32)
    torch.testing.assert_close(attention(tokens), attention.to_out(expected))


def test_positions_tell_patches_apart_and_stretch():
    net = build_net("vit", classes=3, width=4, seed=0).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(net(images), net(images.flip(3)))
    assert net._positions(8, 8) is net.pos_embedding
    stretched = net._positions(4, 16)
    assert stretched.shape == (1, 65, 32)
    assert torch.equal(stretched[:, 0], net.pos_embedding[:, 0])
    with torch.no_grad():
        net.pos_embedding[:, 1:] = 2.5
    assert torch.allclose(net._positions(4, 6)[:, 1:], torch.tensor(2.5))


def test_sides_that_are_no_multiple_of_a_patch_are_refused():
    with pytest.raises(SettingsError, match="multiples of 4 pixels, got 30x32"):
        build_net("vit", classes=3, width=4, seed=0)(torch.zeros(1, 3, 32, 30))

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError
from unpoison.nets.puregen_unet import build_diffusers_unet, build_puregen_unet

pytest.importorskip("diffusers")
TINY = {"channels": 4, "norm_groups": 2, "head_dim": 4}


@pytest.mark.parametrize(("channels", "count"), [(32, 7_126_275), (64, 28_447_235), (128, 113_673_219)])
def test_the_published_sizes(channels, count):
    with torch.device("meta"):
        net = build_puregen_unet(channels=channels)
    state = net.unet.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == count
    assert len(state) == 450
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wide, middle = 4 * channels, 2 * channels
    assert shapes["time_embedding.linear_1.weight"] == (wide, channels)
    assert shapes["down_blocks.4.attentions.1.to_out.0.weight"] == (wide, wide)
    inputs = [shapes[f"up_blocks.2.resnets.{place}.conv1.weight"][1] for place in range(3)]
    assert inputs == [wide + middle, 2 * middle, 2 * middle]
    assert [name for name in shapes if "down_blocks" in name and "conv_shortcut.weight" in name] == [
        "down_blocks.2.resnets.0.conv_shortcut.weight",
        "down_blocks.4.resnets.0.conv_shortcut.weight",
    ]


@torch.no_grad()
def test_it_gives_noise_of_32_pixels_and_says_so_of_others():
    net = build_puregen_unet(**TINY)
    z = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = (net(z, torch.full((2,), time)) for time in (3.0, 200.0))
    assert first.shape == z.shape
    assert not torch.allclose(first, second)
    with pytest.raises(ModelError, match="multiples of 32 pixels a side, not 40x32"):
        net(torch.zeros(1, 3, 32, 40), torch.zeros(1))


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ModelError, match="channels 20"):
        build_puregen_unet(channels=20)
    with pytest.raises(ModelError, match="4 to 4 channels"):
        build_diffusers_unet(in_channels=4, out_channels=4, block_out_channels=[32, 32, 32, 32])
    with pytest.raises(ModelError, match="no UNet2DModel from this description"):
        build_diffusers_unet(widths=[3])

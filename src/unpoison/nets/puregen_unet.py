"""The networks of PureGen's diffusion models, and of others' pipelines: UNets of diffusers that predict the noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from unpoison.core.errors import ModelError, require
from unpoison.nets.eclipse_unet import EclipseUNet

_MULTIPLIERS = (1, 1, 2, 2, 4, 4)
_ATTENTION_LEVEL = 4


class NoiseUNet(EclipseUNet):
    """A diffusers UNet2DModel that predicts the noise alone, as a plain tensor.

    Args:
        unet: the UNet2DModel.
        grain: pictures must be multiples of so many pixels a side, to be halved at every level.
    """

    learned_variance = False

    def __init__(self, unet: nn.Module, *, grain: int):
        super().__init__(unet)
        self.grain = grain

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """z [N, C, H, W] and time [N] to the noise [N, C, H, W].

        Raises:
            ModelError: the picture cannot be halved as often as the network does.
        """
        if z.shape[2] % self.grain or z.shape[3] % self.grain:
            raise ModelError(
                f"this network takes pictures of multiples of {self.grain} pixels a side, not {z.shape[3]}x{z.shape[2]}"
            )
        return super().forward(z, time)


def build_puregen_unet(
    *, channels: int = 128, norm_groups: int = 32, head_dim: int = 8, dropout: float = 0.0
) -> NoiseUNet:
    """Build the network of PureGen's DDPM[250]: six levels, so that 32x32 pictures end as one pixel; 450 tensors.

    `channels` of 32, 64 and 128 are the paper's S, M and L: 7,126,275, 28,447,235 and 113,673,219 parameters.

    Args:
        channels: width of the first two levels; twice that in the next two, four times in the last.
        norm_groups: groups of every group norm; divides `channels`.
        head_dim: channels of each attention head.
        dropout: inside the residual blocks.

    Raises:
        MissingExtraError: diffusers is not installed.
        ModelError: the sizes do not divide.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
    """
    if channels < 1 or channels % norm_groups or 4 * channels % head_dim:
        raise ModelError(
            f"channels {channels} must be divisible by norm_groups {norm_groups}, and 4 times by {head_dim}"
        )
    levels = range(len(_MULTIPLIERS))
    attended = [level == _ATTENTION_LEVEL for level in levels]
    return build_diffusers_unet(
        sample_size=32,
        block_out_channels=[channels * multiplier for multiplier in _MULTIPLIERS],
        down_block_types=["AttnDownBlock2D" if here else "DownBlock2D" for here in attended],
        up_block_types=["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attended)],
        norm_num_groups=norm_groups,
        attention_head_dim=head_dim,
        dropout=dropout,
    )


def build_diffusers_unet(**config: Any) -> NoiseUNet:
    """Build the network that the `config.json` of a pipeline describes.

    Args:
        config: keyword arguments of diffusers' UNet2DModel; what is left out has diffusers' defaults.

    Raises:
        MissingExtraError: diffusers is not installed.
        ModelError: diffusers does not take them, or the network does not map RGB to RGB.
    """
    diffusers = require("diffusers", extra="diffusers", purpose="the UNet of the papers")
    try:
        unet = diffusers.UNet2DModel(**_as_tuples(config))
    except (TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
        raise ModelError(f"diffusers builds no UNet2DModel from this description ({error})") from None
    channels = unet.config.in_channels, unet.config.out_channels
    if channels != (3, 3):
        raise ModelError(f"the network maps {channels[0]} to {channels[1]} channels; it must work on pixels, 3 to 3")
    return NoiseUNet(unet, grain=2 ** (len(unet.config.block_out_channels) - 1))


def _as_tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}

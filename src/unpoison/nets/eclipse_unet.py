"""The network of ECLIPSE: the CIFAR-10 UNet of improved-diffusion, built from diffusers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from unpoison.core.errors import ModelError, require


class EclipseUNet(nn.Module):
    """A diffusers UNet2DModel that returns a plain tensor.

    Args:
        unet: the UNet2DModel.
    """

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.unet = unet

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """z [N, C, H, W] and time [N] to [N, 2C, H, W] (or [N, C, H, W])."""
        sample: Tensor = self.unet(z, time).sample
        return sample


def build_eclipse_unet(
    *,
    channels: int = 128,
    multipliers: Sequence[int] = (1, 2, 2, 2),
    blocks: int = 3,
    attention_levels: Sequence[int] = (1, 2),
    head_dim: int = 64,
    norm_groups: int = 32,
    dropout: float = 0.0,
    in_channels: int = 3,
    learned_variance: bool = True,
) -> EclipseUNet:
    """Build ECLIPSE's network, or a relative of it. The defaults give the published one: 52,546,438 parameters.

    Pictures must be divisible by 2 to the number of levels less one.

    Args:
        channels: width of the first level.
        multipliers: width of each level, as a multiple.
        blocks: residual blocks per level.
        attention_levels: levels with attention, counted from 0; the middle always has it.
        head_dim: channels per attention head; divides the width of every level with attention and of the last.
        norm_groups: groups of every group norm; divides the width of every level.
        dropout: inside the residual blocks.
        in_channels: channels of the picture.
        learned_variance: also give v.

    Raises:
        MissingExtraError: diffusers is not installed.
        ModelError: the sizes do not divide.
    """
    widths = [channels * multiplier for multiplier in multipliers]
    attended = {widths[level] for level in attention_levels} | {widths[-1]}
    if any(width % norm_groups for width in widths) or any(width % head_dim for width in attended):
        raise ModelError(
            f"level widths {widths} must be divisible by norm_groups {norm_groups} and head_dim {head_dim}"
        )
    attention = [level in attention_levels for level in range(len(widths))]
    diffusers = require("diffusers", extra="diffusers", purpose="the UNet of the papers")
    unet = diffusers.UNet2DModel(
        in_channels=in_channels,
        out_channels=in_channels * (2 if learned_variance else 1),
        block_out_channels=tuple(widths),
        layers_per_block=blocks,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        time_embedding_type="positional",
        flip_sin_to_cos=True,
        freq_shift=0,
        downsample_type="conv",
        upsample_type="conv",
        downsample_padding=1,
        act_fn="silu",
        norm_eps=1e-5,
        norm_num_groups=norm_groups,
        # Without it the middle attention silently has no group norm when scale_shift is on.
        attn_norm_num_groups=norm_groups,
        attention_head_dim=head_dim,
        resnet_time_scale_shift="scale_shift",
        add_attention=True,
        mid_block_scale_factor=1,
        center_input_sample=False,
        dropout=dropout,
    )
    return EclipseUNet(unet)

"""`Pointwise`: a 1x1 convolution that is safe with strides and few channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

# On processors with AVX2 and no AVX512, the gradient that oneDNN (torch 2.13) computes for a strided 1x1 convolution of
# fewer channels in channels_last writes past its memory: the process dies, or goes on with wrong numbers.
_SAFE_CHANNELS = 8


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without a bias, which with a stride sees every so many pixels.

    Args:
        channels_in: of the input.
        channels: of the output.
        stride: 1 or more.
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__(channels_in, channels, 1, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- torch's name
        """Map [N, channels_in, H, W] to [N, channels, ceil(H / stride), ceil(W / stride)]."""
        if self.in_channels >= _SAFE_CHANNELS:
            return super().forward(input)
        rows, columns = self.stride
        return F.conv2d(input[..., ::rows, ::columns], self.weight)

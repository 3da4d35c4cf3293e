"""`pocket` in whole numbers: fast, and the same bytes on every processor.

Sums of whole numbers are exact in any order. Between the convolutions there are single additions, multiplications,
divisions and roots, which IEEE 754 rounds alike everywhere, and SiLU is a table. Most
convolutions take 8-bit inputs and 7-bit weights: products of 8-bit ones can saturate on processors without VNNI. The
first layer, the way up and the last layer see more bits, or little noise could not be removed well; they are float
convolutions over whole numbers that are small enough for every partial sum to be exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.core.errors import ModelError
from unpoison.nets.half_resolution import ResidualBlock
from unpoison.nets.pocket import PocketUNet, embed_level

Range = tuple[float, float]

# Layers that see more than 8 bits, besides the first: their ranges cut off nothing.
PRECISE = ("up", "leave")

_CHUNK = 16 * 32 * 32  # pixels that go through the layers together: what lies between two layers stays in the cache
_STEPS = 256  # between layers values are whole numbers of 1/_STEPS
_WEIGHT = 63  # largest 7-bit weight
_EXACT = 2**24  # float32 holds every whole number up to here
_ENTER_STEPS, _ENTER_LIMIT = 2**8, 2**11  # whole numbers that the first layer sees: in one unit, and the largest
_LIMIT = 2**10  # the largest that the other precise layers see
_TABLE, _LOWEST = 4096, -12.0  # entries of a table of SiLU, and where it begins; below SiLU is 0
_GRID = 2**12  # scales and shifts become multiples of 1/_GRID, so that a matrix product's last bits do not matter
_EPSILON = 1e-5


class Int8Pocket(nn.Module):
    """A `PocketUNet` in whole numbers, called like it. For the CPU.

    Args:
        net: the network; not changed.
        ranges: of what the convolutions take in, by their names; see `nets.ranges`.

    Raises:
        ModelError: the ranges are not of this network, or this processor or torch has no such arithmetic.
    """

    def __init__(self, net: PocketUNet, ranges: Mapping[str, Range]):
        super().__init__()
        if set(ranges) != ranged_layers(net).keys():
            raise ModelError("the ranges for int8 are not of this network")
        self.reach = net.reach
        self.noise_embed = deepcopy(net.noise_embed).double()
        self.enter = _ExactConv(net.enter, 1 / _ENTER_STEPS, _ENTER_LIMIT)
        self.before = _blocks(net.before, "before", ranges)
        self.down = _Int8Conv(net.down, ranges["down"])
        self.middle = _blocks(net.middle, "middle", ranges)
        self.up_step = max(-ranges["up"][0], ranges["up"][1]) / _LIMIT
        self.up = _ExactConv(net.up, self.up_step, _LIMIT)
        self.after = _blocks(net.after, "after", ranges)
        step = ranges["leave"][1] / _LIMIT
        self.silu = _SiluTable(ranges["leave"][1], step, 0, torch.float32)
        self.leave = _ExactConv(net.leave, step, _LIMIT)

    def forward(self, x: Tensor, sigma: Tensor, field: Tensor) -> Tensor:
        """See `PocketUNet.forward`."""
        noises, rows = torch.stack([sigma, field]).double().unique(dim=1, return_inverse=True)
        embedding = F.silu(self.noise_embed(torch.cat([embed_level(noise) for noise in noises], dim=1)))
        blocks = [*self.before, *self.middle, *self.after]
        conditions = [block.modulation(embedding)[rows] for block in blocks]
        images = max(1, _CHUNK // (x.shape[2] * x.shape[3]))
        parts = zip(x.split(images), *(condition.split(images) for condition in conditions), strict=True)
        return torch.cat([self._transform(*part) for part in parts])

    def _transform(self, x: Tensor, *conditions: Tensor) -> Tensor:
        """The body, for few images; between layers values are in 1/_STEPS."""
        height, width = x.shape[-2:]
        condition = iter(conditions)
        x = F.pad(x, (0, -width % 4, 0, -height % 4), mode="replicate")
        # What is not a number has no whole one; it stays in the image itself, where it is refused.
        whole = (x * _ENTER_STEPS).round_().clamp_(-_ENTER_LIMIT, _ENTER_LIMIT).nan_to_num_(0)
        half = self.enter(F.pixel_unshuffle(whole, 2))
        for block in self.before:
            half = block(half, next(condition))
        quarter = self.down(self.down.quantise(half))
        for block in self.middle:
            quarter = block(quarter, next(condition))
        quarter = (quarter / (self.up_step * _STEPS)).round_().clamp_(-_LIMIT, _LIMIT)
        half = half + F.pixel_shuffle(self.up(quarter), 2)
        for block in self.after:
            half = block(half, next(condition))
        out = self.leave(self.silu(_normalise(half).mul_(self.silu.scale).add_(self.silu.offset)))
        return F.pixel_shuffle(out, 2)[..., :height, :width].contiguous() / _STEPS


class _Int8Block(nn.Module):
    """A `ResidualBlock`; its scales and shifts are in entries of the tables."""

    def __init__(self, block: ResidualBlock, name: str, ranges: Mapping[str, Range]):
        super().__init__()
        self.first = _Int8Conv(block.first, ranges[f"{name}.first"])
        self.second = _Int8Conv(block.second, ranges[f"{name}.second"])
        self.silu, self.silu_again = self.first.silu(), self.second.silu()
        self.gain = block.gain.detach() * self.silu.scale
        self.bias = block.bias.detach() * self.silu.scale + self.silu.offset
        self.condition = deepcopy(block.condition).double()

    def modulation(self, embedding: Tensor) -> Tensor:
        """[N, E] to scales and shifts of the second norm, [N, 2C, 1, 1]."""
        scale, shift = self.condition(embedding).chunk(2, dim=1)
        table = self.silu_again
        both = torch.cat([(1 + scale) * table.scale, shift * table.scale + table.offset], dim=1)
        return (both.mul(_GRID).round() / _GRID).float()[:, :, None, None]

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        scale, shift = modulation.chunk(2, dim=1)
        inner = self.first(self.silu(_normalise(x).mul_(self.gain).add_(self.bias)))
        change: Tensor = self.second(self.silu_again(_normalise(inner).mul_(scale).add_(shift)))
        return x + change


class _Int8Conv(nn.Module):
    """A convolution of 8-bit inputs with 7-bit weights; gives whole numbers of 1/_STEPS.

    Args:
        layer: the convolution.
        taken: range of what it takes in.
    """

    def __init__(self, layer: nn.Conv2d, taken: Range):
        super().__init__()
        low, high = taken
        self.high, self.step = high, (high - low) / 255
        self.zero = round(-low / self.step)
        weight = layer.weight.detach().double()
        step = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / _WEIGHT
        whole = (weight / step).round().to(torch.int8)
        self.scale, self.offset = _to_steps(layer, step * self.step)
        self.ones, self.zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int)
        self.shape: tuple[list[int], ...] = tuple(
            [int(number) for number in pair] for pair in (layer.stride, layer.padding, layer.dilation)
        )
        ops: Any = torch.ops.onednn
        try:
            self.weight = ops.qconv_prepack(whole, self.ones, 1.0, self.zero, *self.shape, 1)
        except (AttributeError, RuntimeError):
            raise ModelError("this processor, or this build of torch, has no 8-bit convolutions") from None
        self._check(whole)

    def _check(self, whole: Tensor) -> None:
        """Refuse a processor on which the largest inputs do not give the exact sums."""
        pattern = torch.arange(whole.shape[1] * 36).reshape(1, -1, 6, 6)
        x = torch.where(pattern % 5 < 4, 255, 0).to(torch.uint8)
        stride, padding, _ = self.shape
        right = F.conv2d(x.double() - self.zero, whole.double(), stride=stride, padding=padding)
        if not torch.equal(self._sums(x), right.float()):
            raise ModelError("this processor does not add the products of 8-bit numbers exactly")

    def silu(self) -> _SiluTable:
        """The SiLU that makes its input."""
        return _SiluTable(self.high, self.step, self.zero, torch.uint8)

    def quantise(self, x: Tensor) -> Tensor:
        """Whole numbers of 1/_STEPS to its input."""
        levels = (x / (self.step * _STEPS)).add_(self.zero + 0.5)
        return levels.clamp_(0, 255.5).to(torch.uint8)

    def forward(self, x: Tensor) -> Tensor:
        return self._sums(x).mul_(self.scale).add_(self.offset).round_()

    def _sums(self, x: Tensor) -> Tensor:
        """[N, C, H, W] uint8 to whole numbers in float32."""
        x = x.contiguous(memory_format=torch.channels_last)
        ops: Any = torch.ops.onednn
        sums: Tensor = ops.qconv2d_pointwise(
            x, 1.0, self.zero, self.weight, self.ones, self.zeros, None, *self.shape, 1, 1.0, 0, torch.float32,
            "none", [], "",
        )  # fmt: skip
        return sums


class _ExactConv(nn.Module):
    """A convolution of whole numbers in float32, with as many bits as keep it exact; gives whole numbers of 1/_STEPS.

    Args:
        layer: the convolution.
        step: what 1 of its input stands for.
        limit: largest magnitude of its input.
    """

    def __init__(self, layer: nn.Conv2d, step: float, limit: int):
        super().__init__()
        weight = layer.weight.detach().double()
        room = _EXACT / limit - weight[0].numel() / 2  # rounding adds at most 1/2 to each weight
        step_of_weight = weight.abs().sum(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / room
        self.weight = (weight / step_of_weight).round().float().contiguous(memory_format=torch.channels_last)
        self.scale, self.offset = _to_steps(layer, step_of_weight * step)
        self.padding = layer.padding

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, self.weight, padding=self.padding).mul_(self.scale).add_(self.offset).round_()


class _SiluTable(nn.Module):
    """SiLU by looking up, of values in entries of the table: `value * scale + offset`.

    Args:
        high: largest result.
        step: what 1 of the result stands for.
        zero: what stands for 0.
        dtype: of the result.
    """

    def __init__(self, high: float, step: float, zero: int, dtype: torch.dtype):
        super().__init__()
        self.scale = (_TABLE - 1) / (high + 0.5 - _LOWEST)
        self.offset = 0.5 - _LOWEST * self.scale  # cutting off the fraction then rounds
        values = torch.arange(_TABLE, dtype=torch.float64) / self.scale + _LOWEST
        whole = (values / (1 + torch.exp(-values)) / step).round() + zero
        self.table = whole.clamp(max=zero + round(high / step)).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        entries = x.clamp_(0, _TABLE - 1).int().permute(0, 2, 3, 1)
        return self.table.index_select(0, entries.reshape(-1)).view(entries.shape).permute(0, 3, 1, 2)


def ranged_layers(net: PocketUNet) -> dict[str, nn.Conv2d]:
    """The convolutions that need to know the range of what they take in, by name; the picture's own is known."""
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}
    del layers["enter"]
    return layers


def _blocks(blocks: nn.ModuleList, name: str, ranges: Mapping[str, Range]) -> nn.ModuleList:
    return nn.ModuleList(
        _Int8Block(block, f"{name}.{number}", ranges)
        for number, block in enumerate(blocks)
        if isinstance(block, ResidualBlock)
    )


def _to_steps(layer: nn.Conv2d, step: Tensor) -> tuple[Tensor, Tensor]:
    """What turns sums in `step` [O, 1, 1, 1] into 1/_STEPS: factor and bias, [O, 1, 1]."""
    bias = layer.get_parameter("bias").detach().double().view(-1, 1, 1)
    return (step[:, 0] * _STEPS).float(), (bias * _STEPS).float()


def _normalise(x: Tensor) -> Tensor:
    """Divide each pixel by the root mean square of its channels; the sum of whole numbers is exact in float64."""
    square = x.square().sum(dim=1, keepdim=True, dtype=torch.float64) / x.shape[1] + _EPSILON * _STEPS**2
    return x * (1 / square.sqrt()).float()

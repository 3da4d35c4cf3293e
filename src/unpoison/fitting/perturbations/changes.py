"""Changes of pictures that are more than a pattern on top: painted pixels, blur, tints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_PIXELS = 4  # painted, at most
_KERNELS = (3, 5)
_BLUR = (0.05, 0.4)  # largest weight beside the one tap that is 1


def pixels(clean: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    """One to four pixels of every picture painted in a colour, mostly a corner of the colour cube, for all of them.

    Args:
        clean: [N, 3, S, S] in [0, 1]; not changed.
        amplitude: not looked at: paint has no bound.
        random: source of places and colours.
    """
    count, _, _, side = clean.shape
    most = int(torch.randint(1, _PIXELS + 1, (), generator=random))
    place = torch.randint(side**2, (count, 1, most), generator=random).expand(-1, 3, -1)
    colour = torch.rand(count, 3, 1, generator=random)
    corner = torch.rand(count, 1, 1, generator=random) < 0.7
    colour = torch.where(corner, colour.round(), colour).expand(-1, -1, most)
    return clean.flatten(2).scatter(2, place, colour).view_as(clean)


def kernels(clean: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    """Every picture blurred with a small kernel of its own: one tap is 1, the others are smaller; brightness is kept.

    Args:
        clean: [N, 3, S, S] in [0, 1].
        amplitude: not looked at: blur has no bound.
        random: source of the kernels.
    """
    count, _, side, _ = clean.shape
    width = _KERNELS[int(torch.randint(len(_KERNELS), (), generator=random))]
    low, high = _BLUR
    blur = (low + (high - low) * torch.rand(count, 1, generator=random)) * 9 / width**2
    taps = blur * torch.rand(count, width**2, generator=random)
    taps = taps.scatter(1, torch.randint(width**2, (count, 1), generator=random), 1.0)
    weights = taps.view(count, 1, width, width).repeat_interleave(3, dim=0)
    frame = "constant" if float(torch.rand((), generator=random)) < 0.5 else "replicate"
    framed = F.pad(clean, 4 * [width // 2], mode=frame).reshape(1, count * 3, side + width - 1, -1)
    blurred = F.conv2d(framed, weights, groups=count * 3).reshape(clean.shape)
    if float(torch.rand((), generator=random)) < 0.5:  # as bright at most as the brightest value can be
        return blurred / blurred.flatten(1).amax(dim=1).clamp(min=1e-6).view(-1, 1, 1, 1)
    return blurred / taps.sum(dim=1).view(-1, 1, 1, 1)


def tints(clean: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
    """Every channel made lighter or darker, and its contrast larger or smaller.

    Args:
        clean: [N, 3, S, S] in [0, 1].
        amplitude: [N, 1, 1, 1] most that a value moves by.
        random: source of the shifts.
    """
    shift, gain = 2 * torch.rand(2, len(clean), 3, 1, 1, generator=random) - 1
    gain = gain * (torch.rand(len(clean), 1, 1, 1, generator=random) < 0.5)
    tinted: Tensor = clean + amplitude * (shift + gain * (2 * clean - 1)) / (1 + gain.abs())
    return tinted

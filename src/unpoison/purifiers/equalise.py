"""Equalisation: every picture gets the fineness of detail that the pictures of the set have on average."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.chunks import spread_rows
from unpoison.core.device import same_bits
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.progress import OnStep, StepInfo
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import NeedsWholeSet
from unpoison.purifiers.settings import EqualiseSettings

_CPU = torch.device("cpu")
_SAMPLE = 5000  # pictures of which the average is taken; their spread makes it sharp to a hundredth
_LAGS = tuple(
    (down, right) for down in range(4) for right in range(-3, 4) if (down, right) > (0, 0) and down + abs(right) <= 3
)
_FLOOR = 1 / 255  # a level of noise, below which no detail is looked for
_MARGIN = 8  # pixels that a picture is mirrored by on every side before it is filtered
_TILE = 64  # larger pictures are measured in tiles, whose spectra are averaged


class EqualisePurifier(NeedsWholeSet):
    """Filters every picture so that its spectrum has the average shape of the set, without a look at labels.

    A poison that is a convolution of the picture (`cuda`) says the class by how fine the detail is, and along which
    direction: by the shape of the spectrum, to which it adds the kernel's as a logarithm. With all spectra of one shape
    that is gone, and so is what clean pictures say by it. The shape is the real cepstrum at lags of up to 3 pixels: 12
    numbers, the cosines that fit the logarithm of the spectrum best. Noise that it amplifies is for `fast`, behind it.

    What it does to a picture is measured and corrected some times over, because the frame and the range of a picture
    leave less of a filter than it says.

    References:
        Stockham, Cannon, Ingebretsen: Blind Deconvolution Through Digital Signal Processing, Proceedings of the IEEE
        1975, from whom the average of the logarithms is; for purification, and at few lags, it is ours
    """

    Settings = EqualiseSettings
    is_random = False
    prepared: list[float] | None = None  # the average cepstrum at the lags

    def __init__(self, settings: EqualiseSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.device = device
        self.limit = torch.tensor(settings.limit).log().item()

    def prepare(
        self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None
    ) -> EqualisePurifier:
        """Average the cepstra of the pictures, or of 5,000 that stand for them."""
        rows = spread_rows(image_set.labels, _SAMPLE)
        total = torch.zeros(len(_LAGS), dtype=torch.float64)
        with same_bits(_CPU):
            for number, row in enumerate(rows, start=1):
                total += cepstrum(to_float(image_set.pixels(row)[None]))[0]
                if on_step:
                    on_step(StepInfo(number, len(rows)))
        return self.restore((total / len(rows)).tolist())

    def restore(self, prepared: Any) -> EqualisePurifier:
        """The purifier of a set with this average.

        Raises:
            ValueError: it is no number for each lag.
        """
        purifier = copy.copy(self)
        purifier.prepared = [float(value) for value, _ in zip(prepared, _LAGS, strict=True)]
        return purifier

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        height, width = images.shape[2:]
        down, right = min(_MARGIN, height - 1), min(_MARGIN, width - 1)
        wide = F.pad(images, (right, right, down, down), mode="reflect")
        spectrum = torch.fft.rfft2(wide)
        wanted = torch.tensor(self.found(), dtype=torch.float64, device=images.device)
        log_gain = torch.zeros_like(spectrum[:, 0], dtype=images.dtype)
        result = images
        for _ in range(self.settings.rounds):
            missing = (wanted - cepstrum(result)).to(images.dtype)
            for number, lag in enumerate(_LAGS):
                wave = _wave(lag, *wide.shape[2:]).to(images)
                log_gain += missing[:, number, None, None] * (wave - 1)  # none at frequency 0: brightness stays
            log_gain.clamp_(-self.limit, self.limit)
            filtered = torch.fft.irfft2(spectrum * log_gain.exp()[:, None], s=wide.shape[2:])
            result = filtered[:, :, down : down + height, right : right + width].clamp(0, 1)
        return result


def cepstrum(images: Tensor) -> Tensor:
    """The logarithm of the amplitude of a picture's detail as a sum of cosines, one for each lag.

    Args:
        images: [N, C, H, W] in [0, 1].

    Returns:
        [N, 12] float64.
    """
    height, width = (min(size, _TILE) for size in images.shape[2:])
    window, solution = (part.to(images.device) for part in _fit(height, width))
    tiles = images.unfold(2, height, height).unfold(3, width, width)  # [N, C, rows, columns, height, width]
    mean = (tiles * window).sum(dim=(-2, -1), keepdim=True) / window.sum()
    power = torch.fft.rfft2((tiles - mean) * window).abs().square().sum(dim=1).mean(dim=(1, 2))
    floor = images.shape[1] * _FLOOR**2 * window.square().sum()
    logarithms: Tensor = ((power + floor).log() / 2).flatten(1).double()
    return logarithms @ solution


@lru_cache(maxsize=16)
def _fit(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A window of Hann, [H, W], and what gives the cosines that fit log amplitudes [H * (W // 2 + 1)] best, [_, 12].

    The longest waves are left out: the window mixes them with the mean. `rfft2` leaves out the mirror images of most
    columns, which count twice.
    """
    window = torch.outer(*(torch.hann_window(size + 2, periodic=False)[1:-1] for size in (height, width)))
    waves = torch.stack([_wave(lag, height, width) for lag in _LAGS]).flatten(1)
    frequencies = torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width).square()
    counts = torch.full((width // 2 + 1,), 2.0)
    counts[[0, -1] if width % 2 == 0 else 0] = 1
    weights = (counts * (frequencies.sqrt() > 1.5 / min(height, width))).sqrt().flatten().double()
    terms = torch.cat([torch.ones_like(waves[:1]), waves]) * weights
    return window, weights[:, None] * torch.linalg.pinv(terms)[:, 1:]


def _wave(lag: tuple[int, int], height: int, width: int) -> Tensor:
    """The cosine of a lag at the frequencies of `rfft2`, [H, W // 2 + 1] float64."""
    down, right = lag
    rows, columns = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.rfftfreq(width, dtype=torch.float64)
    phase: Tensor = 2 * torch.pi * (down * rows[:, None] + right * columns)
    return phase.cos()

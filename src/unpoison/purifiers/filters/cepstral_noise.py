"""Cepstral noise: every picture filtered with a random kernel of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.filters.settings import CepstralNoiseSettings
from unpoison.purifiers.filters.windows import widen
from unpoison.purifiers.protocol import Purifier

_REACH = 4  # of the kernels; what is cut off further out is 0.4 % of them at the largest std
_SPECTRUM = 32  # values a side at which their spectra are computed
_PARTS = 2**16  # weights are rounded to such parts, as the last bits of spectra are not the same on every processor


class CepstralNoisePurifier(Purifier):
    """Filters every picture with a kernel of its own, which blurs, sharpens and smears it a little; brightness is kept.

    To filter is to multiply spectra, which is to add their logarithms, or what these transform to, cepstra. A poison
    that filters every class in its own way (`cuda`) therefore adds the same small array to the cepstra of a class, and
    noise of `std` on the eight middle values of every picture's cepstrum drowns it, as noise on pixels drowns what is
    added to them. Put it behind `trim` and before `fast`.

    References:
        Cepstra: Oppenheim and Schafer, From frequency to quefrency: a history of the cepstrum, IEEE Signal Processing
        Magazine 2004. Noise on them against poisons is ours; random sharpening: Kim and Sandoval-Segura, Learning from
        convolution-based unlearnable datasets, https://arxiv.org/abs/2411.01742
    """

    Settings = CepstralNoiseSettings
    halo = _REACH

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        whole = replace(noise, window=None)  # all tiles of a picture have its kernel
        cepstra = self.settings.std * whole.normal(torch.empty(len(images), 1, 3, 3), "cepstrum")[:, 0]
        return filter_each(images, kernels_of_cepstra(cepstra).to(images.device)).clamp(0, 1)


def kernels_of_cepstra(cepstra: Tensor) -> Tensor:
    """Kernels [N, 9, 9] float32 that sum to 1, of the middle of their cepstra, [N, 3, 3]."""
    around = torch.zeros(len(cepstra), _SPECTRUM, _SPECTRUM, dtype=torch.float64)
    around[:, :3, :3] = cepstra.double()
    around = around.roll((-1, -1), dims=(1, 2))
    kernels: Tensor = torch.fft.ifft2(torch.fft.fft2(around).exp()).real.roll((_REACH, _REACH), dims=(1, 2))
    kernels = kernels[:, : 2 * _REACH + 1, : 2 * _REACH + 1]
    kernels = (kernels / kernels.sum(dim=(1, 2), keepdim=True) * _PARTS).round() / _PARTS
    kernels[:, _REACH, _REACH] += 1 - kernels.sum(dim=(1, 2))
    return kernels.float()


def filter_each(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve all channels of an image, [N, 3, H, W], with its own kernel of [N, K, K]; borders are repeated.

    Term by term, in place of a convolution: the last bits do not depend on how many images there are.
    """
    height, width = images.shape[2:]
    side = kernels.shape[1]
    wide = widen(images, side // 2)
    filtered = torch.zeros_like(images)
    for row, column in product(range(side), range(side)):
        shifted = wide[:, :, side - 1 - row :, side - 1 - column :][:, :, :height, :width]
        filtered += kernels[:, row, column, None, None, None] * shifted
    return filtered

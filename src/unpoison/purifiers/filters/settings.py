"""Settings of the filters, apart from their code, so that a wrong one is refused before torch is loaded."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from unpoison.core.settings import Bound, Settings


class JpegSettings(Settings):
    """Settings of JPEG compression.

    Args:
        quality: libjpeg's quality; 10 is the setting of the published defence.
    """

    quality: int = Field(10, ge=1, le=95)
    is_exact: ClassVar[bool] = True


class GrayscaleSettings(Settings):
    """Grayscale has no settings."""


class BitDepthSettings(Settings):
    """Settings of the bit depth.

    Args:
        bits: kept of the 8 of every value, 1 to 8; 2, four levels, is the published setting.
    """

    bits: int = Field(2, ge=1, le=8)


class QuantiseSettings(Settings):
    """Settings of quantisation.

    Args:
        levels: that a value can have, 2 to 256; no one setting is published, and 8 bounds the change by 18/255.
    """

    levels: int = Field(8, ge=2, le=256)


class GaussianBlurSettings(Settings):
    """Settings of the Gaussian blur.

    Args:
        sigma: width of the bell in pixels, 0.1 to 16; the published 0.1 changes nothing.
    """

    sigma: float = Field(0.75, ge=0.1, le=16)


class MeanFilterSettings(Settings):
    """Settings of the mean filter.

    Args:
        size: side of the square in pixels: 3, which is published, 5 or 7.
    """

    size: Literal[3, 5, 7] = 3


class MedianFilterSettings(Settings):
    """Settings of the median filter.

    Args:
        size: side of the square in pixels: 3, which is published, 5 or 7.
    """

    size: Literal[3, 5, 7] = 3


class DespeckleSettings(Settings):
    """Settings of the removal of specks.

    Args:
        threshold: how far outside of its neighbours a pixel must lie to be a speck, in [0, 1] pixel units.
    """

    threshold: Bound = "40/255"
    is_exact: ClassVar[bool] = True


class TrimSettings(Settings):
    """Settings of trimmed edges.

    Args:
        width: pixels of every side that are replaced, 1 to 16; of a picture without so many, all but its middle.
    """

    width: int = Field(1, ge=1, le=16)
    is_exact: ClassVar[bool] = True


class ChromaBlurSettings(Settings):
    """Settings of blurred chroma.

    Args:
        radius: standard deviation of the bell in pixels, 0.5 to 16.
    """

    radius: float = Field(1, ge=0.5, le=16)
    is_exact: ClassVar[bool] = True


class JitterSettings(Settings):
    """Settings of jitter.

    Args:
        reach: how far away a pixel may come from, each way, in pixels, above 0 and up to 8.
    """

    reach: float = Field(1, gt=0, le=8)


class CepstralNoiseSettings(Settings):
    """Settings of noise on cepstra.

    Args:
        std: its standard deviation, above 0 and up to 0.3; that of the logarithm of a picture's spectrum is about
            three times as much.
    """

    is_exact: ClassVar[bool] = True

    std: float = Field(0.1, gt=0, le=0.3)


class GaussianNoiseSettings(Settings):
    """Settings of the noise.

    Args:
        sigma: its standard deviation, in [0, 1] pixel units; 0.05 is what ECLIPSE trains with.
    """

    sigma: Bound = "0.05"


class ResizeSettings(Settings):
    """Settings of resizing.

    Args:
        factor: how much smaller the sides become on the way, above 1 and up to 16.
    """

    factor: float = Field(2, gt=1, le=16)


class TotalVariationSettings(Settings):
    """Settings of total variation.

    Args:
        weight: how much smoothness counts, above 0 and up to 10; two flat halves of a picture, each so many pixels
            wide, come nearer to each other by twice the weight over the width.
        iterations: of the descent, 1 to 1,000; a few dozen are enough for weights that leave the picture to be seen.
    """

    weight: float = Field(0.05, gt=0, le=10)
    iterations: int = Field(50, ge=1, le=1000)

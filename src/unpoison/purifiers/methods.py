"""Purifiers by name. Chains are written with `+`."""

from __future__ import annotations

from typing import Any

from unpoison.core.methods import load_method

# What purifies if nobody names a method. `fast` drowns in noise what is added to a picture. A single painted pixel
# stands out of the noise, and goes before; a filter that tells the class outlives it, and is drowned in random ones.
DEFAULT = "despeckle+trim+cepstral-noise+fast"

METHODS = {
    "fast": "unpoison.purifiers.fast:FastPurifier",
    "eclipse": "unpoison.purifiers.eclipse:EclipsePurifier",
    "puregen-ebm": "unpoison.purifiers.puregen.ebm:PuregenEbmPurifier",
    "puregen-ddpm": "unpoison.purifiers.puregen.ddpm:PuregenDdpmPurifier",
    "puregen-naive": "unpoison.purifiers.puregen.naive:PuregenNaivePurifier",
    "puregen-reps": "unpoison.purifiers.puregen.reps:PuregenRepsPurifier",
    "puregen-filt": "unpoison.purifiers.puregen.filt:PuregenFiltPurifier",
    "d-vae": "unpoison.purifiers.d_vae.purifier:DVaePurifier",
    "avatar": "unpoison.purifiers.avatar:AvatarPurifier",
    "orthogonal-projection": "unpoison.purifiers.orthogonal_projection:OrthogonalProjectionPurifier",
    "equalise": "unpoison.purifiers.equalise:EqualisePurifier",
    "jpeg": "unpoison.purifiers.filters.jpeg:JpegFilter",
    "grayscale": "unpoison.purifiers.filters.grayscale:GrayscaleFilter",
    "bit-depth": "unpoison.purifiers.filters.bit_depth:BitDepthFilter",
    "quantise": "unpoison.purifiers.filters.quantise:QuantiseFilter",
    "gaussian-blur": "unpoison.purifiers.filters.gaussian_blur:GaussianBlurFilter",
    "mean-filter": "unpoison.purifiers.filters.mean:MeanFilter",
    "median-filter": "unpoison.purifiers.filters.median:MedianFilter",
    "despeckle": "unpoison.purifiers.filters.despeckle:DespeckleFilter",
    "trim": "unpoison.purifiers.filters.trim:TrimFilter",
    "chroma-blur": "unpoison.purifiers.filters.chroma_blur:ChromaBlurFilter",
    "jitter": "unpoison.purifiers.filters.jitter:JitterPurifier",
    "cepstral-noise": "unpoison.purifiers.filters.cepstral_noise:CepstralNoisePurifier",
    "gaussian-noise": "unpoison.purifiers.filters.gaussian_noise:GaussianNoisePurifier",
    "resize": "unpoison.purifiers.filters.resize:ResizeFilter",
    "total-variation": "unpoison.purifiers.filters.total_variation:TotalVariationFilter",
}

# Their settings, which are read without the code above.
SETTINGS = {
    "fast": "unpoison.purifiers.settings:FastSettings",
    "eclipse": "unpoison.purifiers.settings:EclipseSettings",
    "puregen-ebm": "unpoison.purifiers.settings:PuregenEbmSettings",
    "puregen-ddpm": "unpoison.purifiers.settings:PuregenDdpmSettings",
    "puregen-naive": "unpoison.purifiers.settings:PuregenNaiveSettings",
    "puregen-reps": "unpoison.purifiers.settings:PuregenRepsSettings",
    "puregen-filt": "unpoison.purifiers.settings:PuregenFiltSettings",
    "d-vae": "unpoison.purifiers.settings:DVaeSettings",
    "avatar": "unpoison.purifiers.settings:AvatarSettings",
    "orthogonal-projection": "unpoison.purifiers.settings:OrthogonalProjectionSettings",
    "equalise": "unpoison.purifiers.settings:EqualiseSettings",
    "jpeg": "unpoison.purifiers.filters.settings:JpegSettings",
    "grayscale": "unpoison.purifiers.filters.settings:GrayscaleSettings",
    "bit-depth": "unpoison.purifiers.filters.settings:BitDepthSettings",
    "quantise": "unpoison.purifiers.filters.settings:QuantiseSettings",
    "gaussian-blur": "unpoison.purifiers.filters.settings:GaussianBlurSettings",
    "mean-filter": "unpoison.purifiers.filters.settings:MeanFilterSettings",
    "median-filter": "unpoison.purifiers.filters.settings:MedianFilterSettings",
    "despeckle": "unpoison.purifiers.filters.settings:DespeckleSettings",
    "trim": "unpoison.purifiers.filters.settings:TrimSettings",
    "chroma-blur": "unpoison.purifiers.filters.settings:ChromaBlurSettings",
    "jitter": "unpoison.purifiers.filters.settings:JitterSettings",
    "cepstral-noise": "unpoison.purifiers.filters.settings:CepstralNoiseSettings",
    "gaussian-noise": "unpoison.purifiers.filters.settings:GaussianNoiseSettings",
    "resize": "unpoison.purifiers.filters.settings:ResizeSettings",
    "total-variation": "unpoison.purifiers.filters.settings:TotalVariationSettings",
}


def load_purifier(name: str) -> Any:
    """What makes a purifier of its settings: a class of ours, or the like of one from elsewhere (`OwnPurifier`).

    Raises:
        SettingsError: there is no such purifier.
    """
    found = load_method(METHODS, name, kind="purifier")
    from unpoison.core.own import Own

    if name in METHODS or isinstance(found, Own):
        return found
    from unpoison.purifiers.own import OwnPurifier

    return OwnPurifier(name, found)

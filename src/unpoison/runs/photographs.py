"""Colour photographs told from other pictures: the denoiser in the package has seen nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from unpoison.core.chunks import spread_rows
from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.nets.shipped import SHIPPED

_SAMPLE = 32


class StrangePicturesWarning(UserWarning):
    """Pictures are unlike those that the denoiser in the package has seen."""


def warn_if_strange(image_set: ImageSet, settings: Mapping[str, Settings]) -> None:
    """Warn as `strangeness_warning` says."""
    if text := strangeness_warning(image_set, settings):
        warnings.warn(text, StrangePicturesWarning, stacklevel=3)


def strangeness_warning(image_set: ImageSet, settings: Mapping[str, Settings]) -> str | None:
    """A line to warn with, if a run with the denoiser in the package meets pictures unlike those it has seen.

    Args:
        image_set: what is to be purified; a few pictures are looked at.
        settings: of the run, by purifier. Filters, and models that the user named, are nobody's surprise.
    """
    if not any(_uses_shipped(link) for link in settings.values()):
        return None
    pictures = []
    for row in spread_rows(image_set.labels, _SAMPLE):
        try:
            pictures.append(image_set.picture(row).rgb)
        except DataError:
            continue  # the run itself says what is wrong with it
    kind = describe_strangeness(pictures)
    return kind and (
        f"most pictures of {image_set.name} are {kind}; the denoiser in the package has seen colour photographs only. "
        "Look at --preview first, or fit one on pictures of your own: unpoison fit denoiser"
    )


def describe_strangeness(pictures: Sequence[np.ndarray]) -> str | None:
    """What most of the pictures are, if that is not colour photographs.

    Args:
        pictures: [H, W, 3] uint8 each.

    Returns:
        Words that fit after "most pictures are"; None if most look like colour photographs.
    """
    looks = np.array([_look(picture) for picture in pictures], bool).reshape(-1, 3)
    grey, paper, dark = looks.T
    for seen, words in (
        (paper, "like documents or drawings, flat black and white"),
        (grey & dark, "grey on a dark ground, like medical pictures"),
        (grey, "grey, in one channel"),
    ):
        if 2 * seen.sum() > len(looks):
            return words
    return None


def _uses_shipped(settings: Settings) -> bool:
    return any(name in SHIPPED for name in settings.named_files().values())


def _look(picture: np.ndarray) -> tuple[bool, bool, bool]:
    """Whether a picture is grey, like paper or a line drawing, and on a dark ground."""
    step = max(1, max(picture.shape[:2]) // 256)
    pixels = picture[::step, ::step].reshape(-1, 3).astype(np.int16)
    spread = pixels.max(axis=1) - pixels.min(axis=1)
    level = pixels.mean(axis=1)
    # Lossy formats leave a little colour at the edges of grey pictures.
    grey = np.mean(spread <= 12) > 0.98
    white, black = np.mean(level >= 225), np.mean(level <= 30)
    return bool(grey), bool(white > 0.5 and white + black > 0.7), bool(black > 0.3)

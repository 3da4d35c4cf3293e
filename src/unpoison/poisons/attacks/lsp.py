"""LSP: linearly separable perturbations."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from unpoison.core.chunks import slices
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.poisons.protocol import Attack, PoisonedSet, Quantise, Resources, add_and_quantise, require_labels

_SEPARATION = 10.0  # half the side of the hypercube whose corners are the class centres


class LspSettings(Settings):
    """Settings of LSP.

    Args:
        epsilon: root mean square of the perturbation over all values of an image; the published L2 norm of 1.304 at
            32x32 is 6/255.
        patch: side of the square cells of one colour, in pixels; must divide the picture.
        quantise: how the sum becomes 8 bits; the original truncates.
    """

    epsilon: Bound = "6/255"
    patch: int = Field(default=8, ge=1)
    quantise: Quantise = "round"


class LspPoison(Attack):
    """Every class gets a Gaussian cluster of coarse colour mosaics that a linear model separates at once.

    The clusters follow scikit-learn's `make_classification` as the paper calls it: centres are distinct corners of a
    hypercube, and each class mixes its samples by a random matrix of its own. They are drawn here from the formulas,
    because that library's output changes between versions.

    References:
        Yu, Zhang, Chen, Yin, Liu: Availability Attacks Create Shortcuts, KDD 2022, https://arxiv.org/abs/2111.00898
    """

    Settings = LspSettings

    def craft(
        self, image_set: ImageSet, settings: LspSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "lsp")
        images = image_set.array()
        rows, columns = (_cells(side, settings.patch) for side in images.shape[1:3])
        features = rows * columns * 3
        poisoned = np.empty_like(images)
        for label, center in enumerate(_corners(len(image_set.class_names), features, generator)):
            members = np.flatnonzero(image_set.labels == label)
            mixing = 2 * torch.rand(features, features, generator=generator) - 1
            samples = torch.randn(len(members), features, generator=generator) @ mixing + center
            mosaics = samples.numpy().reshape(-1, rows, columns, 3)
            for part in slices(len(members), images.shape[1:]):
                delta = _spread(mosaics[part], settings)
                poisoned[members[part]] = add_and_quantise(images[members[part]], delta, settings.quantise)
        return PoisonedSet(poisoned, image_set.ids, "availability")


def _spread(mosaics: np.ndarray, settings: LspSettings) -> np.ndarray:
    """Mosaics [n, rows, columns, 3] as perturbations [n, H, W, 3] of the root mean square asked for."""
    delta = mosaics.repeat(settings.patch, axis=1).repeat(settings.patch, axis=2)
    rms = np.sqrt(np.mean(delta**2, axis=(1, 2, 3), keepdims=True))
    spread: np.ndarray = delta * (bound_value(settings.epsilon) / rms)
    return spread


def _cells(side: int, patch: int) -> int:
    if patch < 1 or side % patch:
        raise SettingsError(f"lsp: a side of {side} pixels cannot be cut into cells of {patch}; set patch to a divisor")
    return side // patch


def _corners(count: int, features: int, generator: torch.Generator) -> torch.Tensor:
    """Distinct corners of the hypercube, [count, features] of +-_SEPARATION."""
    if 2**features < count:
        raise SettingsError(f"lsp: {features} cell colours cannot separate {count} classes; use a smaller patch")
    corners: list[tuple[int, ...]] = []
    while len(corners) < count:
        corner = tuple(torch.randint(0, 2, (features,), generator=generator).tolist())
        if corner not in corners:
            corners.append(corner)
    return _SEPARATION * (2.0 * torch.tensor(corners) - 1)

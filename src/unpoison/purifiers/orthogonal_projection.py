"""Orthogonal projection: take out of every picture what a linear classifier reads its class by."""

from __future__ import annotations

import base64
import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.device import same_bits
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.progress import OnStep
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import NeedsWholeSet
from unpoison.purifiers.settings import OrthogonalProjectionSettings

_CPU = torch.device("cpu")
_VALUES = 10_000_000  # of the directions, which are kept as text: 53 MB


class OrthogonalProjectionPurifier(NeedsWholeSet):
    """Fits a linear classifier without bias to the pixels of the set, and projects its directions away: x - Q Q^T x.

    Undoes poisons that one direction a class tells apart, such as `lsp` and `ops`, and no others. No network, and no
    clean pictures; it costs seconds, and takes away, too, what a linear classifier knows of the clean pictures, and
    brightness along the directions.

    The published code takes 20 epochs, which on a few thousand pictures are so few updates that its random start
    outweighs what is learned, and the poison stays. Here the updates are counted, and start from 0. So started, the
    weights of all classes sum to 0, and those of all but one class span all directions.

    References:
        Sandoval-Segura et al.: What Can We Learn from Unlearnable Datasets?, NeurIPS 2023,
        https://arxiv.org/abs/2305.19254
    """

    Settings = OrthogonalProjectionSettings
    is_random = False  # once the set was looked at
    prepared: dict[str, Any] | None = None  # the directions: their number and length, and their float32 as base64
    _directions: Tensor

    def __init__(self, settings: OrthogonalProjectionSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.device = device

    def prepare(
        self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None
    ) -> OrthogonalProjectionPurifier:
        """Fit the classifier to a set.

        Args:
            image_set: labelled pictures of one size, of two classes or more.
            generator: the order of the pictures comes from it.
            on_step: never called; it is a matter of seconds.

        Returns:
            The purifier of this set.

        Raises:
            SettingsError: labels are missing, sizes differ, or pictures and classes are too large and many.
        """
        classes, labels = np.unique(image_set.labels, return_inverse=True)
        if len(classes) < 2 or classes[0] < 0:
            raise SettingsError(
                f"orthogonal-projection tells the classes of a set apart, and {image_set.name} "
                + ("has pictures without a label" if -1 in classes else "has fewer than two of them")
                + "; take another method"
            )
        images = image_set.array()
        if (len(classes) - 1) * images[0].size > _VALUES:
            raise SettingsError(
                f"orthogonal-projection keeps {len(classes) - 1} directions of {images[0].size} values, more than "
                f"{_VALUES:,} together; make the pictures smaller, as in `unpoison convert SRC DST --size 32`"
            )
        with same_bits(_CPU):
            weights = fit_linear(images, torch.from_numpy(labels), self.settings, generator=generator)
            directions = torch.linalg.qr(weights[:-1].T).Q.T.contiguous()
        data = base64.b64encode(directions.numpy().astype("<f4").tobytes()).decode()
        return self.restore({"count": len(directions), "length": images[0].size, "float32": data})

    def restore(self, prepared: Any) -> OrthogonalProjectionPurifier:
        """The purifier of the set in which these directions were found."""
        purifier = copy.copy(self)
        purifier.prepared = prepared
        values = np.frombuffer(base64.b64decode(prepared["float32"], validate=True), "<f4")
        directions = values.reshape(prepared["count"], prepared["length"]).astype(np.float32)
        purifier._directions = torch.from_numpy(directions).to(self.device)
        return purifier

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        self.found()  # says so if there is nothing
        flat = images.flatten(1)
        return (flat - flat @ self._directions.T @ self._directions).view_as(images).clamp(0, 1)


def fit_linear(
    images: np.ndarray, labels: Tensor, settings: OrthogonalProjectionSettings, *, generator: torch.Generator
) -> Tensor:
    """Logistic regression without bias on pixels in [0, 1], by plain gradient steps from 0.

    Args:
        images: [N, H, W, 3] uint8.
        labels: [N] int64, from 0 to C - 1, each there.
        settings: updates, their size and rate.
        generator: the order of the pictures comes from it.

    Returns:
        [C, 3 H W] float32, a row a class; they sum to 0.
    """
    targets = F.one_hot(labels).float()
    weights = torch.zeros(targets.shape[1], images[0].size)
    order = torch.empty(0, dtype=torch.int64)
    for update in range(settings.updates):
        if not len(order):
            order = torch.randperm(len(images), generator=generator)
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        pixels = to_float(images[rows.numpy()]).flatten(1)
        errors = (pixels @ weights.T).softmax(dim=1) - targets[rows]
        done = update / settings.updates
        rate = settings.learning_rate * (1 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
        weights -= rate / len(rows) * errors.T @ pixels
    return weights

"""Class-wise stripes: every picture of a class gets the same vertical stripes."""

from __future__ import annotations

import torch

from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, add_and_quantise, require_labels


class StripesSettings(Settings):
    """Settings of the stripes.

    Args:
        epsilon: how far they move a value.
        width: of a stripe, in pixels.
    """

    epsilon: Bound = "8/255"
    width: int = 2


class Stripes(Attack):
    """A shortcut for a classifier: the stripes tell the class, so that it need not look at the picture."""

    Settings = StripesSettings

    def craft(
        self, image_set: ImageSet, settings: StripesSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "stripes")
        images = image_set.array()  # [N, H, W, 3] uint8
        stripes = torch.randint(2, (len(image_set.class_names), images.shape[2]), generator=generator) * 2 - 1
        signs = stripes.repeat_interleave(settings.width, dim=1)[:, : images.shape[2]].numpy()
        delta = bound_value(settings.epsilon) * signs[image_set.labels][:, None, :, None]  # [N, 1, W, 1]
        return PoisonedSet(add_and_quantise(images, delta, "round"), image_set.ids, "availability")

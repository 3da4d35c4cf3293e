"""URP: random noise, the same for a whole class or drawn for every image."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unpoison.core.chunks import class_chunks, slices
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.poisons.protocol import Attack, PoisonedSet, Quantise, Resources, add_and_quantise, require_labels


class UrpSettings(Settings):
    """Settings of URP.

    Args:
        per: `class` gives all images of a class the same noise (the attack); `sample` gives each its own, a control
            that should do no harm.
        norm: `linf` draws uniformly from [-epsilon, epsilon]; `l2` draws Gaussian noise of length epsilon.
        epsilon: the bound; the papers use 8/255 with `linf` and 0.5 with `l2`.
        quantise: how the sum becomes 8 bits.
    """

    per: Literal["class", "sample"] = "class"
    norm: Literal["linf", "l2"] = "linf"
    epsilon: Bound = "8/255"
    quantise: Quantise = "round"


class UrpPoison(Attack):
    """Noise that says the class, or, drawn per sample, says nothing.

    References:
        Tao et al.: Better Safe Than Sorry (attack P5), NeurIPS 2021, https://arxiv.org/abs/2102.04716
        Huang et al.: Unlearnable Examples (random baseline), ICLR 2021, https://arxiv.org/abs/2101.04898
    """

    Settings = UrpSettings

    def craft(
        self, image_set: ImageSet, settings: UrpSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        images = image_set.array()
        shape = images.shape[1:]
        poisoned = np.empty_like(images)
        if settings.per == "class":
            require_labels(image_set, "urp")
            noise = _draw(len(image_set.class_names), shape, settings, generator)
            for label, rows in class_chunks(images, image_set.labels):
                poisoned[rows] = add_and_quantise(images[rows], noise[label].numpy(), settings.quantise)
        else:
            for part in slices(len(images), shape):
                noise = _draw(len(images[part]), shape, settings, generator)
                poisoned[part] = add_and_quantise(images[part], noise.numpy(), settings.quantise)
        return PoisonedSet(poisoned, image_set.ids, "availability")


def _draw(count: int, shape: tuple[int, ...], settings: UrpSettings, generator: torch.Generator) -> Tensor:
    epsilon = bound_value(settings.epsilon)
    if settings.norm == "linf":
        return epsilon * (2 * torch.rand(count, *shape, generator=generator) - 1)
    noise = torch.randn(count, *shape, generator=generator)
    lengths: Tensor = noise.flatten(1).norm(dim=1)
    return epsilon * noise / lengths.view(-1, 1, 1, 1)

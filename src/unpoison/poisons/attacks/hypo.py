"""HYPO: hypocritical perturbations."""

from __future__ import annotations

import torch
from pydantic import Field

from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound
from unpoison.poisons.engine.pgd import Descent, DescentSettings, cross_entropy
from unpoison.poisons.engine.surrogates import SurrogateSettings, surrogates
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class HypoSettings(DescentSettings, SurrogateSettings):
    """Settings of HYPO: 100 steps of a tenth of epsilon from the clean image, without crops and mirrors.

    The original attacks a VGG-16 within an L2 ball of 0.5 (`norm=l2`, `epsilon=0.5`, `step_size=0.1`,
    `surrogate=vgg16`); these defaults are those of the benchmarks that compare it with others.
    """

    steps: int = Field(default=100, ge=1)
    step_size: Bound = "0.8/255"
    crop_padding: int = Field(default=0, ge=0)
    flip: bool = False


class HypoPoison(Attack):
    """Every image is moved to where a classifier trained on the clean set is surest of the true class.

    A mild attack: a network may learn the added certainty in place of the picture.

    References:
        Tao et al.: Better Safe Than Sorry: Preventing Delusive Adversaries with Adversarial Training (attack P2),
        NeurIPS 2021, https://arxiv.org/abs/2102.04716
    """

    Settings = HypoSettings
    uses = ("surrogates",)

    def craft(
        self, image_set: ImageSet, settings: HypoSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "hypo")
        models = surrogates(image_set, settings, generator=generator, resources=resources)
        device = choose_device(resources.device)
        labels = torch.from_numpy(image_set.labels).to(device)
        descent = Descent(settings, device, generator, resources.on_step)
        stored = descent.run(
            image_set.array(), lambda rows: cross_entropy(models, labels[rows]), random_start=settings.restarts > 1
        )
        return PoisonedSet(stored, image_set.ids, "availability")

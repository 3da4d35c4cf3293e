"""EM: error-minimising noise, which leaves a network nothing to learn."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound
from unpoison.poisons.engine.bilevel import BilevelSettings, ErrorMinimiser
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, add_and_quantise, require_labels


class EmSettings(BilevelSettings):
    """Settings of EM. The defaults are the paper's for sample-wise noise; the profile `class-wise` has the others.

    Args:
        per: `sample` gives every image noise of its own, `class` one to all images of a class. That is moved by batch
            after batch of `batch_size` images, 19 of them in a round.
    """

    per: Literal["sample", "class"] = "sample"
    steps: int = Field(default=20, ge=1)
    step_size: Bound = "0.8/255"
    training_batch: int = Field(default=512, ge=2)


class EmPoison(Attack):
    """Every image is moved to where a network that learns along makes no error, so that there is nothing to learn.

    References:
        Huang et al.: Unlearnable Examples: Making Personal Data Unexploitable, ICLR 2021,
        https://arxiv.org/abs/2101.04898
    """

    Settings = EmSettings

    def craft(
        self, image_set: ImageSet, settings: EmSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "em")
        minimiser = ErrorMinimiser(
            image_set,
            settings,
            generator=generator,
            resources=resources,
            per_class=settings.per == "class",
        )
        delta, facts = minimiser.run()
        poisoned = add_and_quantise(image_set.array(), delta.permute(0, 2, 3, 1).numpy(), "round")
        return PoisonedSet(poisoned, image_set.ids, "availability", facts=facts)

"""TAP: targeted adversarial poisons."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound
from unpoison.poisons.engine.pgd import Descent, DescentSettings, Loss, cross_entropy
from unpoison.poisons.engine.surrogates import SurrogateSettings, surrogates
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class TapSettings(DescentSettings, SurrogateSettings):
    """Settings of TAP. Eight starts, crops and mirrors inside the descent, and a step of a twentieth of epsilon.

    Args:
        aim: `targeted` moves every image towards the next class; `untargeted` away from its own, which depends on the
            luck of the seed.
    """

    aim: Literal["targeted", "untargeted"] = "targeted"
    steps: int = Field(default=250, ge=1)
    step_size: Bound = "0.4/255"
    restarts: int = Field(default=8, ge=1)


class TapPoison(Attack):
    """Every image is moved to where a classifier trained on the clean set sees the next class.

    Crops are whole pixels out of a black frame, as victims are shown their images; the authors' descent moves them by
    parts of a pixel, bilinearly, and the mean colour comes in.

    References:
        Fowl et al.: Adversarial Examples Make Strong Poisons, NeurIPS 2021, https://arxiv.org/abs/2106.10807
    """

    Settings = TapSettings
    uses = ("surrogates",)

    def craft(
        self, image_set: ImageSet, settings: TapSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "tap")
        classes = len(image_set.class_names)
        if classes < 2:
            raise SettingsError("tap moves every image towards the next class; it needs at least two classes")
        models = surrogates(image_set, settings, generator=generator, resources=resources)
        device = choose_device(resources.device)
        labels = torch.from_numpy(image_set.labels).to(device)

        def loss_of(rows: torch.Tensor) -> Loss:
            if settings.aim == "targeted":
                return cross_entropy(models, (labels[rows] + 1) % classes)
            own = cross_entropy(models, labels[rows])
            return lambda images: -own(images)

        descent = Descent(settings, device, generator, resources.on_step)
        return PoisonedSet(descent.run(image_set.array(), loss_of), image_set.ids, "availability")

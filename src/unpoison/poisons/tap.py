"""TAP: targeted adversarial poisons."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional as F

from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.poisons.base import PoisonedSet, require_labels
from unpoison.poisons.pgd import pgd


class TapSettings(Settings):
    """Settings of TAP.

    Args:
        epsilon: L-infinity radius.
        steps: steps of gradient descent on each image; one start, where the paper takes the best of eight.
        step_size: length of a step; the paper's is a twentieth of epsilon.
        surrogate: architecture of the classifier that is attacked.
        width: channels of its first stage.
        epochs: passes of its training over the clean set.
        batch_size: images perturbed at once.
    """

    epsilon: Bound = "8/255"
    steps: int = Field(default=250, ge=1)
    step_size: Bound = "0.4/255"
    surrogate: str = "resnet18"
    width: int = Field(default=64, ge=4, multiple_of=4)
    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=256, ge=1)


class TapPoison:
    """Every image is moved to where a classifier trained on the clean set sees the next class.

    The descent runs without the crops and flips of the original.

    References:
        Fowl et al.: Adversarial Examples Make Strong Poisons, NeurIPS 2021, https://arxiv.org/abs/2106.10807
    """

    Settings = TapSettings

    def craft(self, image_set: ImageSet, settings: TapSettings, *, generator: torch.Generator) -> PoisonedSet:
        require_labels(image_set, "tap")
        classes = len(image_set.class_names)
        if classes < 2:
            raise SettingsError("tap moves every image towards the next class; it needs at least two classes")
        seed = int(torch.randint(2**31, (1,), generator=generator))
        training = TrainSettings(epochs=settings.epochs, test_every=settings.epochs, width=settings.width)
        surrogate = train(
            image_set, test_set=image_set, model=settings.surrogate, settings=training, seed=seed, device="cpu"
        ).net.requires_grad_(False)
        wanted = (torch.from_numpy(image_set.labels) + 1) % classes
        epsilon, step_size = bound_value(settings.epsilon), bound_value(settings.step_size)
        poisoned = []
        for rows in torch.arange(len(image_set)).split(settings.batch_size):
            images, targets = to_float(image_set.array()[rows.numpy()]), wanted[rows]

            def loss(perturbed: torch.Tensor, targets: torch.Tensor = targets) -> torch.Tensor:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    logits = surrogate(perturbed)
                return F.cross_entropy(logits.float(), targets, reduction="sum")

            start = (epsilon * torch.randn(images.shape, generator=generator)).clamp(-epsilon, epsilon)
            delta = pgd(images, start, loss, epsilon=epsilon, step_size=step_size, steps=settings.steps)
            poisoned.append(images + delta)
        return PoisonedSet(to_uint8(torch.cat(poisoned)), image_set.ids, "availability")

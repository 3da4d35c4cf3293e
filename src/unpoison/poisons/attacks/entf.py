"""EntF: entangled features, made to hurt networks that are trained against adversaries."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.classifier import Classifier, features
from unpoison.classify.training import Perturb
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.centroids import centroids, distance
from unpoison.poisons.engine.pgd import Ball, Descent, DescentSettings, Loss, cross_entropy, pgd
from unpoison.poisons.engine.surrogates import SurrogateSettings, surrogates
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class EntfSettings(DescentSettings, SurrogateSettings):
    """Settings of EntF: 300 steps of a twentieth of epsilon, under crops and mirrors, from one random start.

    Args:
        aim: `push` moves the features of every image away from the centroid of its class; `pull` towards the nearest
            centroid of another.
        reference_epsilon: what the reference classifier is trained to withstand, L-infinity.
        reference_steps: steps of the attack that it is trained against.
        reference_step_size: their length.
    """

    aim: Literal["push", "pull"] = "push"
    steps: int = Field(default=300, ge=1)
    epochs: int = Field(default=100, ge=1)
    reference_epsilon: Bound = "4/255"
    reference_steps: int = Field(default=10, ge=1)
    reference_step_size: Bound = "2/255"


class EntfPoison(Attack):
    """The features of the classes are mixed up, as a moderately robust reference classifier sees them.

    A surrogate given by the caller is the reference; it should be trained against adversaries too.

    References:
        Wen et al.: Is Adversarial Training Really a Silver Bullet for Mitigating Data Poisoning?, ICLR 2023,
        https://openreview.net/forum?id=zKvm1ETDOq
    """

    Settings = EntfSettings
    uses = ("surrogates",)

    def craft(
        self, image_set: ImageSet, settings: EntfSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "entf")
        if settings.aim == "pull" and len(image_set.class_names) < 2:
            raise SettingsError("entf pulls every image towards another class; it needs at least two classes")
        if len(resources.surrogates) > 1:
            raise SettingsError("entf measures features with one reference, and was given several surrogates; name one")
        perturb = adversary(settings, generator)
        (reference,) = surrogates(image_set, settings, generator=generator, resources=resources, perturb=perturb)
        device = choose_device(resources.device)
        means = centroids(reference, resources.clean_set or image_set)
        labels = torch.from_numpy(image_set.labels).to(device)

        def loss_of(rows: Tensor) -> Loss:
            if settings.aim == "pull":
                return nearest_other(reference, means, labels[rows])
            near = distance(reference, means[labels[rows]])
            return lambda images: -near(images)

        descent = Descent(settings, device, generator, resources.on_step)
        return PoisonedSet(descent.run(image_set.array(), loss_of), image_set.ids, "availability")


def nearest_other(classifier: Classifier, means: Tensor, labels: Tensor) -> Loss:
    """Mean squared difference between the features of each image and the nearest centroid of another class.

    Args:
        classifier: in evaluation mode, its weights without gradients.
        means: [classes, D], the centroids.
        labels: [N] int64, whose centroids do not count.
    """

    def loss(images: Tensor) -> Tensor:
        seen = features(classifier, images).float()
        apart = torch.cdist(seen.detach(), means).scatter(1, labels[:, None], torch.inf)
        return (seen - means[apart.argmin(dim=1)]).square().mean(dim=1)

    return loss


def adversary(settings: EntfSettings, generator: torch.Generator) -> Perturb:
    """The attack that the reference is trained against: PGD on its own loss from a uniform start.

    Args:
        settings: radius, steps and precision.
        generator: source of the starts, on the CPU.
    """
    ball = Ball("linf", bound_value(settings.reference_epsilon))

    def perturb(net: Classifier, batch: Tensor, labels: Tensor) -> Tensor:
        # In evaluation mode, so that the attack's passes leave the running statistics of batch normalisation alone.
        own = cross_entropy([net.eval()], labels)
        return batch + pgd(
            batch,
            ball.draw_uniform(batch, generator),
            settings.cast(lambda images: -own(images)),
            ball=ball,
            step_size=bound_value(settings.reference_step_size),
            steps=settings.reference_steps,
        )

    return perturb

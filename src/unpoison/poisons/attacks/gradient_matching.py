"""Gradient matching: poisons whose training gradient is the one that would misclassify the target."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.classifier import Classifier
from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.settings import Bound
from unpoison.poisons.engine.adam import channel_unit, descend, stored_ball
from unpoison.poisons.engine.surrogates import SurrogateSettings, surrogates
from unpoison.poisons.engine.targets import TargetSettings, find_setup
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels

_DECAY_AT = (3 / 8, 5 / 8, 7 / 8)
Gradient = list[Tensor]


class GradientMatchingSettings(TargetSettings, SurrogateSettings):
    """Settings of gradient matching.

    Args:
        epsilon: bound of every value of the perturbation; the poisoning benchmark has 8/255.
        poisons: pictures perturbed; 500 are one percent of CIFAR-10.
        iterations: steps of Adam in each restart; its rate falls to a tenth after 3/8, 5/8 and 7/8 of them.
        learning_rate: of Adam, for normalised pictures; it is given the sign of the gradient. Several surrogates share
            it: it is divided by their number.
        restarts: random starts, of which the one with the lowest loss is kept.
        batch_size: poisons whose gradient is matched at once.
        crop_padding: black frame from which a random crop is shown to the network at each step; 0 for none.
        flip: mirror half of what is shown.
    """

    epsilon: Bound = "16/255"
    poisons: int = Field(default=500, ge=1)
    iterations: int = Field(default=250, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    restarts: int = Field(default=8, ge=1)
    batch_size: int = Field(default=512, ge=1)
    crop_padding: int = Field(default=4, ge=0)
    flip: bool = True


class GradientMatchingPoison(Attack):
    """Pictures of one class that move a network, when it learns them, as the target with their label would.

    Crops are whole pixels out of a black frame, as victims are shown their pictures; the authors' descent moves them by
    parts of a pixel, bilinearly, and the mean colour comes in.

    References:
        Geiping et al., Witches' Brew: industrial scale data poisoning via gradient matching, ICLR 2021,
        https://arxiv.org/abs/2009.02276
    """

    Settings = GradientMatchingSettings
    kind = "triggerless"
    chooses = True
    uses = ("surrogates", "target_set")

    def craft(
        self,
        image_set: ImageSet,
        settings: GradientMatchingSettings,
        *,
        generator: torch.Generator,
        resources: Resources,
    ) -> PoisonedSet:
        require_labels(image_set, "gradient-matching")
        setup, target = find_setup("gradient-matching", image_set, settings, generator=generator, resources=resources)
        frozen = surrogates(image_set, settings, generator=generator, resources=resources)
        # The gradients are with respect to the weights, which surrogates come without.
        models = [copy.deepcopy(model).requires_grad_(True) for model in frozen]
        device = choose_device(resources.device)
        bases = np.stack(image_set.load(setup.base_indices))
        clean, aim = to_float(bases).to(device), to_float(target.image[None]).to(device)
        labels = torch.full((len(clean),), setup.base_class, device=device)
        wanted = [training_gradient(model, aim, labels[:1]) for model in models]
        draws = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        batches = torch.arange(len(clean), device=device).split(settings.batch_size)

        def slope(delta: Tensor) -> tuple[float, Tensor]:
            losses, gradients = [], []
            for rows in batches:
                moved = delta[rows].detach().requires_grad_()
                shown = crop_and_flip(
                    clean[rows] + moved, padding=settings.crop_padding, flip=settings.flip, generator=draws
                )
                loss = matching_loss(models, shown, labels[rows], wanted)
                gradients.append(torch.autograd.grad(loss, moved)[0])
                losses.append(loss.item())
            return float(np.mean(losses)), torch.cat(gradients)

        ball, unit = stored_ball(settings.epsilon), channel_unit(image_set, device)
        best, lowest = torch.zeros_like(clean), float("inf")
        for _ in range(settings.restarts):
            delta = descend(
                clean,
                ball.draw(clean, generator),
                slope,
                ball=ball,
                unit=unit,
                learning_rate=settings.learning_rate / len(models),
                steps=settings.iterations,
                signed=True,
                decay_at=_DECAY_AT,
                on_step=resources.on_step,
            )
            reached, _ = slope(delta)
            if reached < lowest:
                best, lowest = delta, reached
        stored = to_uint8(clean + best)
        facts = {
            f"cosine_{when}": whole_cosine(models, to_float(pictures).to(device), labels, wanted, settings.batch_size)
            for when, pictures in (("before", bases), ("after", stored))
        }
        ids = tuple(image_set.ids[row] for row in setup.base_indices)
        return PoisonedSet(stored, ids, "triggerless", target=target, facts=facts)


def training_gradient(model: Classifier, images: Tensor, labels: Tensor, *, differentiable: bool = False) -> Gradient:
    """The gradient of the mean cross-entropy with respect to all weights, in fp32.

    Args:
        model: in evaluation mode, its weights with gradients.
        images: [N, 3, H, W] float32 in [0, 1].
        labels: [N] int64.
        differentiable: whether the result can be differentiated with respect to the images.
    """
    loss = F.cross_entropy(model(images), labels)
    return list(torch.autograd.grad(loss, list(model.parameters()), create_graph=differentiable))


def matching_loss(models: Sequence[Classifier], images: Tensor, labels: Tensor, wanted: Sequence[Gradient]) -> Tensor:
    """Mean over models of 1 - cos between the gradient of these images and the gradient that is wanted of each.

    Args:
        models: what is trained on the images.
        images: [N, C, H, W] in [0, 1]; the loss can be differentiated by them.
        labels: [N] class indices.
        wanted: a gradient for each model.
    """
    gradients = [training_gradient(model, images, labels, differentiable=True) for model in models]
    cosines = [cosine(found, aim) for found, aim in zip(gradients, wanted, strict=True)]
    return 1 - torch.stack(cosines).mean()


def cosine(first: Gradient, second: Gradient) -> Tensor:
    """Cosine of two gradients, over all weights as one vector: a scalar tensor."""

    def dot(left: Gradient, right: Gradient) -> Tensor:
        return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()

    return dot(first, second) / (dot(first, first).sqrt() * dot(second, second).sqrt()).clamp(min=1e-12)


def whole_cosine(
    models: Sequence[Classifier], images: Tensor, labels: Tensor, wanted: Sequence[Gradient], batch_size: int
) -> float:
    """Mean over models of the cosine between the wanted gradient and that of all images [N, C, H, W], as they are."""
    cosines = []
    for model, aim in zip(models, wanted, strict=True):
        parts = [
            [len(rows) * part for part in training_gradient(model, images[rows], labels[rows])]
            for rows in torch.arange(len(images), device=images.device).split(batch_size)
        ]
        # The length does not matter, so the sum serves as the mean.
        cosines.append(cosine([torch.stack(weights).sum(dim=0) for weights in zip(*parts, strict=True)], aim).item())
    return float(np.mean(cosines))

"""Narcissus: a trigger that is the target class, as a network of the attacker's sees it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.classifier import Classifier, compute_logits
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.pixels import to_float
from unpoison.core.precision import autocast
from unpoison.core.progress import StepInfo
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.pgd import Ball, cross_entropy
from unpoison.poisons.engine.surrogates import SurrogateSettings, frozen, surrogates
from unpoison.poisons.protocol import (
    Attack,
    ClassName,
    PoisonedSet,
    Resources,
    Trigger,
    add_and_quantise,
    class_number,
    require_labels,
)

_CROP_PADDING = 4  # of the pictures that the trigger is added to, as while the surrogate was trained


class NarcissusSettings(SurrogateSettings):
    """Settings of Narcissus.

    Args:
        target_class: name or number of the class that the trigger is to mean.
        epsilon: bound of every value of the trigger; the paper's code says 32/255 because it counts from -1 to 1.
            PureGen takes 8/255.
        images: how many pictures of the target class get the trigger; PureGen takes 500 of 5,000.
        choose: `random` draws them, as the paper does; `last` takes the last of the class, as PureGen does.
        auxiliary_images: pictures of each auxiliary class that the surrogate is trained on: the first ones.
        epochs: passes over auxiliary and target class while the surrogate is trained.
        warmup_epochs: further passes over the target class alone; 0 for none.
        warmup_rate: learning rate of RAdam in them.
        rounds: passes over the target class while the trigger is made.
        step_size: learning rate of RAdam for the trigger in [0, 1] units; 0.01 in the paper's units from -1 to 1.
        batch_size: pictures a step, in warm-up and trigger.
    """

    target_class: ClassName = "0"
    epsilon: Bound = "16/255"
    images: int = Field(default=25, ge=1)
    choose: Literal["random", "last"] = "random"
    auxiliary_images: int = Field(default=500, ge=1)
    epochs: int = Field(default=200, ge=1)
    warmup_epochs: int = Field(default=5, ge=0)
    warmup_rate: float = Field(default=0.1, gt=0)
    rounds: int = Field(default=1000, ge=1)
    step_size: Bound = "0.005"
    batch_size: int = Field(default=350, ge=2)


class NarcissusPoison(Attack):
    """One perturbation of the target class's pictures that makes them more typical of it, and anything else too.

    The attacker knows the target class and a public set of other classes, and nothing of the rest of the set. His
    surrogate tells the public classes and, as one more, the target class.

    Three things differ from the released code. There, warm-up and trigger aim at the class of the surrogate that
    happens to have the target's number in the poisoned set, one of the public classes; here they aim at the target
    class. There, batch normalisation goes by the batch while the trigger is made; here by what the surrogate learnt.
    And the surrogate is trained with the rates of our own profile.

    References:
        Zeng, Pan, Just, Lyu, Qiu, Jia: Narcissus: A Practical Clean-Label Backdoor Attack with Limited Information,
        CCS 2023, https://arxiv.org/abs/2204.05255
    """

    Settings = NarcissusSettings
    kind = "triggered"
    chooses = True
    uses = ("surrogates", "auxiliary")

    def craft(
        self, image_set: ImageSet, settings: NarcissusSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "narcissus")
        target_class = class_number(image_set, settings.target_class)
        chosen = _choose(np.flatnonzero(image_set.labels == target_class), settings, generator)
        known = _pictures_of(resources.clean_set or image_set, target_class)
        models = _surrogates(known, image_set.class_names[target_class], settings, generator, resources)
        label = len(models[0].class_names) - 1
        models = [warm_up(model, known, label, settings, generator) for model in models]
        delta = make_trigger(known, models, label, settings, generator, resources)
        images = add_and_quantise(np.stack(image_set.load(chosen)), delta[None], "round")
        return PoisonedSet(
            images,
            tuple(image_set.ids[row] for row in chosen),
            "triggered",
            trigger=Trigger(delta, target_class),
            facts={
                "surrogate_without_trigger": _typical(models, known, label),
                "surrogate_with_trigger": _typical(models, add_and_quantise(known, delta[None], "round"), label),
            },
        )


def warm_up(
    model: Classifier, known: np.ndarray, label: int, settings: NarcissusSettings, generator: torch.Generator
) -> Classifier:
    """The surrogate after some passes over the target class alone, with RAdam.

    Args:
        model: the surrogate; not changed.
        known: [N, H, W, 3] uint8, the target class.
        label: its class in the surrogate.
        settings: length, rate, batch, precision.
        generator: source of order and augmentation.

    Returns:
        A copy, in evaluation mode, its weights without gradients.
    """
    model = deepcopy(model).train().requires_grad_(True)
    optimiser = torch.optim.RAdam(model.parameters(), lr=settings.warmup_rate)
    for _ in range(settings.warmup_epochs):
        for batch in _batches(known, settings, model.mean.device, generator):
            if len(batch) > 1:  # batch normalisation needs two
                optimiser.zero_grad()
                _mean_loss(batch, [model], label, settings).backward()
                optimiser.step()
    return model.eval().requires_grad_(False)


def make_trigger(
    known: np.ndarray,
    models: list[Classifier],
    label: int,
    settings: NarcissusSettings,
    generator: torch.Generator,
    resources: Resources,
) -> np.ndarray:
    """The universal perturbation that lowers the cross-entropy of the target class with itself.

    Minimises the mean over x of CE(f(clip(x + delta)), target class) over |delta| <= epsilon, where x are pictures
    of the target class, cropped and mirrored at random.

    Args:
        known: [N, H, W, 3] uint8, the target class.
        models: surrogates, in evaluation mode, their weights without gradients.
        label: the target class in them.
        settings: bound, rounds, step, batch, precision.
        generator: source of order and augmentation.
        resources: device and progress.

    Returns:
        [H, W, 3] float32 in [0, 1] units.
    """
    device, ball = choose_device(resources.device), Ball("linf", bound_value(settings.epsilon))
    height, width = known.shape[1:3]
    # The first five steps of RAdam are as long as the slope, and so depend on the unit: counted from -1 to 1, trigger
    # and step double.
    doubled = torch.zeros(1, 3, height, width, device=device, requires_grad=True)
    optimiser = torch.optim.RAdam([doubled], lr=2 * bound_value(settings.step_size))
    for number in range(1, settings.rounds + 1):
        for batch in _batches(known, settings, device, generator):
            optimiser.zero_grad()
            loss = _mean_loss((batch + doubled / 2).clamp(0, 1), models, label, settings)
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                doubled.copy_(2 * ball.project(doubled / 2))
        if resources.on_step:
            resources.on_step(StepInfo(number, settings.rounds, {"loss": loss.item()}))
    return (doubled.detach() / 2)[0].permute(1, 2, 0).contiguous().cpu().numpy()


def _surrogates(
    known: np.ndarray, name: str, settings: NarcissusSettings, generator: torch.Generator, resources: Resources
) -> list[Classifier]:
    """The surrogates that were given, or one trained on the auxiliary set and the target class."""
    if any(model.class_names[-1] != name for model in resources.surrogates):
        raise SettingsError(
            f"narcissus: the last class of a surrogate must be the target class '{name}', after those of an auxiliary "
            "set; train one so, or give none"
        )
    if resources.surrogates:
        return frozen(resources.surrogates, resources)
    auxiliary = resources.need("auxiliary", "narcissus")
    public = _auxiliary_and_target(auxiliary, known, name, settings.auxiliary_images)
    return surrogates(public, settings, generator=generator, resources=replace(resources, clean_set=public))


def _auxiliary_and_target(auxiliary: ImageSet, known: np.ndarray, name: str, per_class: int) -> ArrayImageSet:
    """The first pictures of each auxiliary class, at the size of the target class, and that class after them."""
    require_labels(auxiliary, "narcissus")
    classes = len(auxiliary.class_names)
    rows = np.concatenate([np.flatnonzero(auxiliary.labels == label)[:per_class] for label in range(classes)])
    height, width = known.shape[1:3]
    resized = [
        np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
        for picture in auxiliary.load(rows)
    ]
    return ArrayImageSet(
        np.concatenate([np.stack(resized), known]),
        np.concatenate([auxiliary.labels[rows], np.full(len(known), classes)]),
        class_names=[*auxiliary.class_names, name],
        name=f"{auxiliary.name}+{name}",
    )


def _pictures_of(image_set: ImageSet, label: int) -> np.ndarray:
    return image_set.subset(np.flatnonzero(image_set.labels == label)).array()


def _choose(members: np.ndarray, settings: NarcissusSettings, generator: torch.Generator) -> np.ndarray:
    """Which rows of the target class get the trigger, ascending."""
    count = settings.images
    if count > len(members):
        raise SettingsError(
            f"narcissus is to poison {count} pictures of class '{settings.target_class}', which has {len(members)}; "
            "set images to fewer"
        )
    if settings.choose == "last":
        return members[-count:]
    return np.sort(members[torch.randperm(len(members), generator=generator)[:count].numpy()])


def _batches(
    known: np.ndarray, settings: NarcissusSettings, device: torch.device, generator: torch.Generator
) -> Iterator[Tensor]:
    """One pass over the target class in a random order, cropped and mirrored: [n, 3, H, W] float32 in [0, 1]."""
    for rows in torch.randperm(len(known), generator=generator).split(settings.batch_size):
        pictures = to_float(known[rows.numpy()])
        yield crop_and_flip(pictures, padding=_CROP_PADDING, flip=True, generator=generator).to(device)


def _mean_loss(images: Tensor, models: list[Classifier], label: int, settings: NarcissusSettings) -> Tensor:
    labels = torch.full((len(images),), label, device=images.device)
    with autocast(settings.precision, images.device):
        return cross_entropy(models, labels)(images).mean()


def _typical(models: list[Classifier], images: np.ndarray, label: int) -> dict[str, float]:
    """How surely the surrogates take pictures [N, H, W, 3] uint8 for the target class."""
    logits = torch.stack([compute_logits(model, images) for model in models]).flatten(0, 1)
    labels = torch.full((len(logits),), label)
    return {
        "accuracy": (logits.argmax(dim=1) == label).float().mean().item(),
        "loss": F.cross_entropy(logits, labels).item(),
    }

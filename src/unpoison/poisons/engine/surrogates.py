"""The classifiers that an attacker trains to attack them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from pydantic import Field

from unpoison.classify.classifier import Classifier
from unpoison.classify.loop import OnEpoch
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import Perturb, train
from unpoison.core.classes import list_names
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Precision, Settings
from unpoison.poisons.protocol import Resources


class SurrogateSettings(Settings):
    """The surrogate that an attack trains if it is given none. The rate and the rest are those of our `fast` profile.

    Args:
        surrogate: its architecture.
        width: channels of its first stage.
        epochs: passes over the clean set.
        precision: in which it is trained, and in which attacks that follow its gradient step by step compute it:
            `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    surrogate: str = "resnet18"
    width: int = Field(default=64, ge=4, multiple_of=4)
    epochs: int = Field(default=40, ge=1)
    precision: Precision = "auto"


class CheckpointSettings(SurrogateSettings):
    """One surrogate, at several ages: an ensemble for the price of one training.

    Args:
        checkpoints: how many are kept, equally spaced over the training; the last is the last.
    """

    checkpoints: int = Field(default=5, ge=1)


def surrogates(
    image_set: ImageSet,
    settings: SurrogateSettings,
    *,
    generator: torch.Generator,
    resources: Resources,
    perturb: Perturb | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Classifier]:
    """The classifiers that were given, or one that is trained now on the clean set.

    Args:
        image_set: what to train on, if there is no larger clean set in the resources.
        settings: architecture and length of the training.
        generator: source of its seed.
        resources: surrogates, clean set, device.
        perturb: see `classify.training.train`.
        on_epoch: the same.

    Returns:
        At least one, on the device, in evaluation mode, its weights without gradients.

    Raises:
        SettingsError: one knows these classes under other numbers.
    """
    if resources.surrogates:
        for classifier in resources.surrogates:
            _check_numbers(classifier.class_names, image_set)
        return frozen(resources.surrogates, resources)
    clean = resources.clean_set or image_set
    trained = train(
        clean,
        test_set=clean.subset(range(min(len(clean), 500))),  # a glance; the attacker has no use for a score
        model=settings.surrogate,
        settings=TrainSettings(
            epochs=settings.epochs,
            test_every=settings.epochs,
            width=settings.width,
            precision=settings.precision,
        ),
        seed=int(torch.randint(2**31, (1,), generator=generator)),
        device=resources.device,
        perturb=perturb,
        on_epoch=on_epoch,
        on_step=resources.on_step,
    )
    return frozen([trained.net], resources)


def train_checkpoints(
    attack: str,
    image_set: ImageSet,
    settings: CheckpointSettings,
    *,
    generator: torch.Generator,
    resources: Resources,
) -> list[Classifier]:
    """The surrogates that were given, or equally spaced copies of one while it is trained; the last is the last.

    Args:
        attack: its name, for the error.
        image_set: see `surrogates`, as for the rest.
        settings: architecture, length of the training, number of copies.
        generator: source of its seed.
        resources: surrogates, clean set, device.

    Raises:
        SettingsError: there are fewer epochs than checkpoints.
    """
    count, epochs = settings.checkpoints, settings.epochs
    if count > epochs and not resources.surrogates:
        raise SettingsError(f"{attack} cannot keep {count} checkpoints of {epochs} epochs; lower checkpoints")
    wanted = {epochs * number // count for number in range(1, count + 1)}
    kept: list[Classifier] = []

    def keep(epoch: int, net: Classifier) -> None:
        if epoch in wanted:
            kept.append(copy.deepcopy(net))

    given = surrogates(image_set, settings, generator=generator, resources=resources, on_epoch=keep)
    return frozen(kept, resources) or given


def frozen(classifiers: Sequence[Classifier], resources: Resources) -> list[Classifier]:
    """Classifiers as an attack wants them: on the device, in evaluation mode, their weights without gradients."""
    device = choose_device(resources.device)
    return [classifier.to(device).eval().requires_grad_(False) for classifier in classifiers]


def _check_numbers(known: Sequence[str], image_set: ImageSet) -> None:
    """Refuse a surrogate of the same classes in another order; one of other classes lends its features only."""
    wanted = image_set.class_names
    if set(wanted) <= set(known) and tuple(known[: len(wanted)]) != wanted:
        raise SettingsError(
            f"a surrogate numbers its classes {list_names(known)}, and {image_set.name} {list_names(wanted)}; train it "
            "on a set with the classes in the same order"
        )

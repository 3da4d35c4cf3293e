"""Training a classifier from scratch, plainly or as ECLIPSE, PureGen and airbench do.

References:
    Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, https://arxiv.org/abs/2404.00498
    Bhat et al., PureGen: universal data purification for train-time poison defense, NeurIPS 2024,
    https://arxiv.org/abs/2405.18627
    Wang et al., ECLIPSE: expunging clean-label indiscriminate poisons via sparse diffusion purification, ESORICS 2024,
    https://arxiv.org/abs/2406.15093
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from unpoison.classify.architectures.whitening import WhiteningConv
from unpoison.classify.augment import Augmentation
from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import IDENTITY, Classifier, build_net, channel_statistics
from unpoison.classify.lesson import Lesson, Redraw
from unpoison.classify.loop import OnEpoch, TrainedClassifier, first_drawn, fit, on_device
from unpoison.classify.optimisers import Parameters
from unpoison.classify.settings import TrainSettings, default_profile, scratch_settings
from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.precision import resolve
from unpoison.core.progress import OnStep
from unpoison.core.settings import called_settings
from unpoison.data import read

# From a net, a batch [N, 3, H, W] float32 in [0, 1] and its labels [N] to the batch that the net learns from.
Perturb = Callable[[Classifier, Tensor, Tensor], Tensor]

_WHITENED_FROM = 5000  # images, enough for the covariance of 12 values


def train(
    train_set: Any,
    *,
    test_set: Any,
    model: str = "resnet18",
    seed: int = 0,
    device: str = "auto",
    profile: str = "",
    settings: TrainSettings | None = None,
    perturb: Perturb | None = None,
    redraw: Redraw | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    **fields: Any,
) -> TrainedClassifier:
    """Train a classifier from scratch, and test it: `train("purified/", test_set="held_out/", epochs=30)`.

    The same seed gives the same weights, bit for bit, on the same kind of machine.

    Args:
        train_set: pictures of one size, every class present; a set, or what `read` reads.
        test_set: pictures of the same size and classes; alike.
        model: name of an architecture in `METHODS`.
        seed: of weights, order and augmentation, each with a stream of its own.
        device: `auto`, `cpu`, `cuda`, ...
        profile: names of profiles, or TOML files, joined by commas; `fast` if left out, `airbench` for its net.
        settings: an object of settings, in place of profile and fields.
        perturb: changes each augmented batch just before the net learns from it, as adversarial training does.
        redraw: gives the pictures of each epoch in place of those of the set; see `runs.fresh`.
        on_epoch: called after each epoch with its number and the net, which it must not change.
        on_step: called after each step with its loss.
        **fields: of the settings, e.g. `epochs=30`; see `TrainSettings`.

    Returns:
        The net with its history and its predictions on the test set.

    Raises:
        SettingsError: the sets cannot be trained or tested on, or there is no such architecture.
        RunError: the loss left the finite numbers.
    """
    torch_device = choose_device(device)
    settings = resolve(asked_settings(model, profile=profile, settings=settings, fields=fields), torch_device)
    train_set, test_set = read(train_set), read(test_set)
    test_set = check_sets(train_set, test_set, settings)
    if redraw:
        train_set = first_drawn(train_set, redraw, settings, on_step)
    net = new_classifier(model, train_set, settings=settings, seed=seed).to(torch_device)
    pictures, labels = on_device(train_set, torch_device)
    whitened = _whiten(net, pictures)
    augmentation = Augmentation(settings, fill=net.mean, seed=seed)

    def view(batch: Tensor, labels: Tensor, epoch: int) -> Tensor:
        augmented = augmentation(batch, epoch)
        return perturb(net, augmented, labels) if perturb else augmented

    def after_epoch(epoch: int, trained: Classifier) -> None:
        if epoch >= settings.whitening_epochs:
            for layer in whitened:
                layer.requires_grad_(False)
        if on_epoch:
            on_epoch(epoch, trained)

    lesson = Lesson(
        net,
        learner=net,
        parameters=learning_parameters(net, settings),
        inputs=augmentation.begin(pictures),
        labels=labels,
        view=view,
        redraw=redraw and (lambda epoch, tell: augmentation.begin(redraw(epoch, tell))),
    )
    return fit(
        lesson,
        test_set=test_set,
        settings=settings,
        seed=seed,
        on_epoch=after_epoch,
        on_step=on_step,
    )


def asked_settings(
    model: str, *, profile: str, settings: TrainSettings | None, fields: Mapping[str, Any]
) -> TrainSettings:
    """The settings that a call of `train` asks for.

    Raises:
        SettingsError: an unknown profile or field, a value out of range, or settings given twice.
    """
    if settings is None:
        return called_settings(None, scratch_settings, profile=profile or default_profile(model), fields=fields)
    return called_settings(settings, scratch_settings, profile=profile, fields=fields)


def new_classifier(model: str, train_set: ImageSet, *, settings: TrainSettings, seed: int) -> Classifier:
    """An untrained classifier of a set's classes, on the CPU, its weights given by the seed.

    Args:
        model: name of an architecture.
        train_set: gives the classes and, with `normalise`, the channel statistics.
        settings: width and normalisation.
        seed: of the weights.
    """
    names = train_set.class_names
    mean, std = channel_statistics(train_set.array()) if settings.normalise else IDENTITY
    net = build_net(model, classes=len(names), width=settings.width, seed=seed)
    return Classifier(net, architecture=model, width=settings.width, class_names=names, mean=mean, std=std)


def learning_parameters(net: Classifier, settings: TrainSettings) -> Parameters:
    """The parameters of a net, for SGD in two groups: the biases of normalisation layers learn faster."""
    if settings.optimiser != "sgd":
        return list(net.parameters())
    named = dict(net.named_parameters())
    # The groups of HLB nets call their normalisation `norm1` to `norm3`; the stem's is not among them.
    fast = {name for name in named if "norm" in name and name.endswith("bias")}
    groups: list[dict[str, Any]] = [
        {"params": [value for name, value in named.items() if name not in fast]},
        {
            "params": [value for name, value in named.items() if name in fast],
            "lr": settings.learning_rate * settings.bias_scaler,
            # Rate times decay is as for the others.
            "weight_decay": settings.weight_decay / settings.bias_scaler,
        },
    ]
    return groups


def _whiten(net: Classifier, pictures: Tensor) -> list[WhiteningConv]:
    """Whiten the layers of a net that are to be, with pictures [N, 3, H, W] uint8 spread over the set; gives them."""
    layers = [module for module in net.modules() if isinstance(module, WhiteningConv)]
    sample = pictures[:: math.ceil(len(pictures) / _WHITENED_FROM)].float() / 255
    for layer in layers:
        layer.whiten((sample - net.mean) / net.std)
    return layers

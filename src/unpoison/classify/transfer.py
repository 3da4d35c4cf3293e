"""Transfer learning: a trained body gets a new head, which learns alone or together with the body."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import Classifier, features, head
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import (
    TrainedClassifier,
    augment,
    augmentation_source,
    fit,
    on_device,
    schedule_factor,
    sgd,
)
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import resolve
from unpoison.core.progress import OnStep

Mode = Literal["linear", "fine-tune"]


class TransferSettings(TrainSettings):
    """How a body is transferred. The defaults are those of the poisoning benchmark; profiles have PureGen's.

    `width` and `normalise` are the body's own and not looked at here.

    Args:
        optimiser: `sgd`, or `adam`, which takes no momentum.
        decay_epochs: epochs after which the learning rate falls to a tenth.
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    decay_epochs: tuple[int, ...] = (30,)
    epochs: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    nesterov: bool = False
    weight_decay: float = Field(default=2e-4, ge=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    test_every: int = Field(default=20, ge=1)


def transfer(
    body: Classifier,
    train_set: ImageSet,
    *,
    test_set: ImageSet,
    mode: Mode = "linear",
    settings: TransferSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Put a new linear head on a trained body and train it.

    The body's normalisation layers keep their statistics and weights in both modes, as in the papers.

    Args:
        body: a trained classifier, of these classes or others; not changed.
        train_set: pictures of one size, every class present.
        test_set: pictures of the same size and classes.
        mode: `linear` trains the head alone; `fine-tune` the body's convolutions with it.
        settings: those of the poisoning benchmark if left out.
        seed: of the head, order and augmentation.
        device: `auto`, `cpu`, `cuda`, ...
        on_step: called after each step with its loss.

    Returns:
        The whole classifier with its history and its predictions on the test set.

    Raises:
        SettingsError: the sets cannot be trained or tested on, or there is no such mode.
        RunError: the loss left the finite numbers.

    References:
        Schwarzschild et al., Just how toxic is data poisoning?, ICML 2021, https://arxiv.org/abs/2006.12557
        Bhat et al., PureGen: universal data purification for train-time poison defense, NeurIPS 2024,
        https://arxiv.org/abs/2405.18627
    """
    test_set = check_sets(train_set, test_set)
    if mode not in ("linear", "fine-tune"):
        raise SettingsError(f"mode is '{mode}'; choose linear or fine-tune")
    place = choose_device(device)
    settings = resolve(settings or TransferSettings(), place)
    net = with_new_head(body, train_set.class_names, seed=seed).to(place).eval()
    learner: nn.Module = head(net) if mode == "linear" else FixedNorms(net)
    randomness = augmentation_source(seed, place)

    def augmented(batch: Tensor, _: Tensor) -> Tensor:
        return augment(batch, settings, randomness)

    def body_features(batch: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            return features(net, augmented(batch, labels))

    def as_it_is(batch: Tensor, _: Tensor) -> Tensor:
        return batch

    inputs, labels = on_device(train_set, place), torch.from_numpy(train_set.labels).to(place)
    view = augmented if mode == "fine-tune" else body_features
    if mode == "linear" and not _is_random(settings):
        # Every epoch would see the same features: once is enough.
        inputs, view = torch.cat([body_features(batch, labels) for batch in inputs.split(500)]), as_it_is
    return fit(
        net,
        inputs,
        labels,
        test_set=test_set,
        learner=learner,
        optimiser=_optimiser(learner, settings),
        factor=lambda step, total: decay_factor(settings, step, total),
        view=view,
        settings=settings,
        seed=seed,
        on_step=on_step,
    )


def decay_factor(settings: TransferSettings, step: int, total: int) -> float:
    """What the learning rate is multiplied by after `step` of `total` steps."""
    epoch = step * settings.epochs // total
    decays = sum(epoch >= decay for decay in settings.decay_epochs)
    return schedule_factor(settings.schedule, step, total) * 0.1**decays


def with_new_head(body: Classifier, class_names: tuple[str, ...], *, seed: int) -> Classifier:
    """A copy of a classifier whose head is fresh, its weights uniform as PyTorch draws them, and of these classes."""
    net = copy.deepcopy(body).requires_grad_(True)
    net.class_names = tuple(class_names)
    old = head(net)
    # skip_init: PyTorch's own draw would come from the global generator.
    new = nn.utils.skip_init(nn.Linear, old.in_features, len(class_names), bias=old.bias is not None)
    limit, source = 1 / math.sqrt(old.in_features), generator(seed, "classify.head")
    for weights in new.parameters():
        nn.init.uniform_(weights, -limit, limit, generator=source)
    name = next(name for name, module in net.named_modules() if module is old)
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, new)
    return net


class FixedNorms(nn.Module):
    """A net whose batch normalisation stays as it was trained: a small set would spoil it.

    Args:
        net: its normalisation layers lose their gradients.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self._norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in self._norms:
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> FixedNorms:
        """Training mode for everything else."""
        super().train(mode)
        for norm in self._norms:
            norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map what the net maps."""
        return self.net(images)


def _optimiser(learner: nn.Module, settings: TransferSettings) -> torch.optim.Optimizer:
    learning = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    if settings.optimiser == "sgd":
        return sgd(learning, settings)
    return torch.optim.Adam(learning, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _is_random(settings: TrainSettings) -> bool:
    """Whether a picture looks different in every epoch."""
    return bool(settings.crop_padding or settings.flip or settings.grayscale_probability or settings.noise_sigma)

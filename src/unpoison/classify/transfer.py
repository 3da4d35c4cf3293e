"""Transfer learning: a trained body gets a new head, which learns alone or together with the body."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import Tensor, nn

from unpoison.classify.augment import Augmentation
from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import Classifier, features, head
from unpoison.classify.lesson import Lesson, Redraw, View
from unpoison.classify.loop import TrainedClassifier, first_drawn, fit, on_device
from unpoison.classify.settings import TransferSettings
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import resolve
from unpoison.core.progress import OnStep

Mode = Literal["linear", "fine-tune"]


def transfer(
    body: Classifier,
    train_set: ImageSet,
    *,
    test_set: ImageSet,
    mode: Mode = "linear",
    settings: TransferSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    redraw: Redraw | None = None,
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
        redraw: gives the pictures of each epoch in place of those of the set; see `runs.fresh`.
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
    settings = settings or TransferSettings()
    test_set = check_sets(train_set, test_set, settings)
    if mode not in ("linear", "fine-tune"):
        raise SettingsError(f"mode is '{mode}'; choose linear or fine-tune")
    torch_device = choose_device(device)
    settings = resolve(settings, torch_device)
    if redraw:
        train_set = first_drawn(train_set, redraw, settings, on_step)
    net = with_new_head(body, train_set.class_names, seed=seed).to(torch_device).eval()
    pictures, labels = on_device(train_set, torch_device)
    augmentation = Augmentation(settings, fill=net.mean, seed=seed)
    pictures = augmentation.begin(pictures)
    changes = augmentation.changes or redraw is not None
    from_pictures = _linear_defended if settings.defence else _linear if changes else _linear_once
    teach = _fine_tune if mode == "fine-tune" else from_pictures
    lesson = teach(net, pictures, labels, augmentation)
    lesson.redraw = redraw and (lambda epoch, tell: augmentation.begin(redraw(epoch, tell)))
    return fit(lesson, test_set=test_set, settings=settings, seed=seed, on_step=on_step)


def _linear(net: Classifier, pictures: Tensor, labels: Tensor, augmentation: Augmentation) -> Lesson:
    """The head learns alone, from the features of a body that stays."""

    def seen(batch: Tensor, labels: Tensor, epoch: int) -> Tensor:
        with torch.no_grad():
            return features(net, augmentation(batch, epoch))

    learner = head(net)
    return Lesson(net, learner, list(learner.parameters()), pictures, labels, view=seen)


def _linear_once(net: Classifier, pictures: Tensor, labels: Tensor, augmentation: Augmentation) -> Lesson:
    """The same where every epoch would see the same features: once is enough."""
    lesson = _linear(net, pictures, labels, augmentation)
    lesson.inputs = torch.cat([lesson.view(batch, labels, 1) for batch in pictures.split(500)])
    lesson.view = lambda batch, labels, epoch: batch
    return lesson


def _linear_defended(net: Classifier, pictures: Tensor, labels: Tensor, augmentation: Augmentation) -> Lesson:
    """The head learns alone, and the learner is the whole net: defences look at pictures, not at features."""
    net.requires_grad_(False)
    learning = list(head(net).requires_grad_(True).parameters())
    return Lesson(net, FixedBody(net), learning, pictures, labels, view=_augmented(augmentation))


def _fine_tune(net: Classifier, pictures: Tensor, labels: Tensor, augmentation: Augmentation) -> Lesson:
    """Everything learns but the normalisation layers."""
    learner = FixedNorms(net)
    learning = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    return Lesson(net, learner, learning, pictures, labels, view=_augmented(augmentation))


def _augmented(augmentation: Augmentation) -> View:
    return lambda batch, labels, epoch: augmentation(batch, epoch)


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


class FixedBody(nn.Module):
    """A net in evaluation mode whatever happens, but for its head.

    Args:
        net: of whose weights those of the head alone learn.
    """

    def __init__(self, net: Classifier):
        super().__init__()
        self.net = net

    def train(self, mode: bool = True) -> FixedBody:
        """Training mode for the head."""
        super().train(False)
        head(self.net).train(mode)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] to what the net makes of them."""
        output: Tensor = self.net(images)
        return output


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
        """Map pictures [N, 3, H, W] to what the net makes of them."""
        output: Tensor = self.net(images)
        return output

"""Defences: the places in the loop of a training where one may act."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.lesson import Lesson
from unpoison.classify.settings import LoopSettings
from unpoison.core.settings import Settings


class Defence:
    """One defence in one training. Each place of the loop does nothing here; a defence overrides those it needs.

    A hook may put the net and its learner in whatever mode it wants: the loop puts them back before it learns.

    Args:
        settings: its own.
        lesson: what learns, and from what; its inputs are the stored pictures, uint8 [N, 3, H, W].
        training: settings of the training, their precision resolved.
        draws: source of all its randomness, on the device of the lesson.

    Attributes:
        Settings: its settings model.
        profile: the profile of the training that it consists of, for one that acts through the training's own settings
            and has neither settings nor hooks; empty for all others.
    """

    Settings: ClassVar[type[Settings]] = Settings
    profile: ClassVar[str] = ""

    def __init__(self, settings: Any, lesson: Lesson, *, training: LoopSettings, draws: torch.Generator):
        self.settings, self.lesson, self.training, self.draws = settings, lesson, training, draws

    def choose(self, rows: Tensor, epoch: int) -> Tensor:
        """Which pictures an epoch learns from; called before each.

        Args:
            rows: [K] int64, rows of the whole set that would be learnt from.
            epoch: counted from 1.

        Returns:
            Some of them, in the same order.
        """
        return rows

    def prepare(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Change stored pictures before they are cropped and mirrored.

        Args:
            pictures: [N, 3, H, W] uint8, or float32 in [0, 1]; not changed.
            rows: [N] int64, which of the whole set they are.

        Returns:
            As many, uint8 or float32.
        """
        return pictures

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Change what the learner is shown of a batch, after the augmentation.

        Args:
            shown: [N, 3, H, W] float32; not changed.
            targets: [N] int64 classes, or [N, classes] float32 shares that sum to 1.
            epoch: counted from 1.

        Returns:
            As many pictures and targets.
        """
        return shown, targets

    def shape_gradients(self) -> None:
        """Change the gradients of the learner in place, before the optimiser moves along them."""

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each picture [N], as the training counts it."""
        smoothing = self.training.label_smoothing
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")

    def shares(self, targets: Tensor) -> Tensor:
        """Targets as shares of classes, [N, classes] float32."""
        if targets.is_floating_point():
            return targets
        return F.one_hot(targets, len(self.lesson.net.class_names)).float()

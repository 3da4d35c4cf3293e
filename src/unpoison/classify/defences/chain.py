"""Several defences as one, in the order in which they were named."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from unpoison.classify.defences.methods import load_defence
from unpoison.classify.defences.protocol import Defence
from unpoison.classify.lesson import Lesson
from unpoison.classify.settings import LoopSettings
from unpoison.core.noise import generator


class Chain(Defence):
    """Defences one after the other at every place of the loop; without members, nothing happens anywhere.

    Args:
        members: in order.
    """

    def __init__(self, members: Sequence[Defence]):
        self.members = members

    def choose(self, rows: Tensor, epoch: int) -> Tensor:
        for member in self.members:
            rows = member.choose(rows, epoch)
        return rows

    def prepare(self, pictures: Tensor, rows: Tensor) -> Tensor:
        for member in self.members:
            pictures = member.prepare(pictures, rows)
        return pictures

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        for member in self.members:
            shown, targets = member.show(shown, targets, epoch)
        return shown, targets

    def shape_gradients(self) -> None:
        for member in self.members:
            member.shape_gradients()


def build_defence(training: LoopSettings, lesson: Lesson, *, seed: int) -> Chain:
    """The defences that the settings of a training name.

    Args:
        training: with the settings of each defence.
        lesson: what learns, and from what.
        seed: of the training; each defence draws from a stream of its own.
    """
    device = lesson.inputs.device
    return Chain(
        [
            load_defence(name)(
                own, lesson, training=training, draws=generator(seed, f"classify.defence.{name}", device=device)
            )
            for name, own in training.defence.items()
        ]
    )

"""The steps of a walk: what each tells, and how a walk is stopped between two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unpoison.core.progress import StepInfo


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageStep(StepInfo):
    """Where a walk stands, with its images. Step 0 is the start, before the first call of the network.

    The tensors are those that the walk computes with: look at them during the call, and copy what is to be kept; they
    must not be changed.

    Args:
        images: [N, C, H, W] float32 as they stand after the step, mapped to [0, 1], which they may leave.
        denoised: [N, C, H, W] float32, the network's estimate of the clean images in this step, in the same units;
            None at the start, and in Langevin dynamics, which estimates none.
    """

    images: Tensor
    denoised: Tensor | None = None


OnImageStep = Callable[[ImageStep], None]
ShouldStop = Callable[[], bool]


class Stopped(Exception):
    """A walk was given up because its `should_stop` said so."""


def check_stop(should_stop: ShouldStop | None) -> None:
    """Give up, if that is asked for; called before every call of a network.

    Raises:
        Stopped: it is.
    """
    if should_stop is not None and should_stop():
        raise Stopped

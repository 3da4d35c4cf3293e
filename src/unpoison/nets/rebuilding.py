"""Networks that are built to be filled with stored weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def build_unfilled(build: Callable[..., Net], **arguments: Any) -> Net:
    """Build a network whose weights will be replaced.

    Its layers draw weights when they are made, from the global generator: a user's own draws must not depend on it.
    """
    with torch.random.fork_rng(devices=[]):
        return build(**arguments)

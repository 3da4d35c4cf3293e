"""Networks built to be filled with stored weights: without random draws, and no larger than the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from unpoison.core.errors import ModelError

Net = TypeVar("Net", bound=nn.Module)


def build_unfilled(build: Callable[..., Net], **arguments: Any) -> Net:
    """Build a network whose weights will be replaced.

    Its layers draw weights when they are made, from the global generator: a user's own draws must not depend on it.
    """
    with torch.random.fork_rng(devices=[]):
        return build(**arguments)


@contextmanager
def parameters_at_most(limit: int) -> Iterator[None]:
    """Stop the building of a network as soon as it has too many parameters for the tensors in a file.

    Raises:
        ModelError: it has.
    """
    left = limit

    def count(module: Any, name: str, parameter: Any) -> None:
        nonlocal left
        left -= parameter is not None
        if left < 0:
            raise ModelError("its network is far larger than the file")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()

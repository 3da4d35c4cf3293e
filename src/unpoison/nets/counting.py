"""A limit on the parameters of a network that is built for a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules.module import register_module_parameter_registration_hook

from unpoison.core.errors import ModelError


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

"""Objects in a suite that is made in Python, in place of the names of methods."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from torch import Tensor, nn

from unpoison.core.errors import SettingsError
from unpoison.core.noise import Noise


class NameOfObject(str):
    """The name of an object, which goes with it; in the suite's file stands the name alone.

    Args:
        given: the object. Its `name` is the name if it has one, else the name of its class is.
    """

    given: Any

    def __new__(cls, given: Any) -> NameOfObject:
        called = getattr(given, "name", None)
        own = called if isinstance(called, str) else getattr(given, "__name__", type(given).__name__)
        made = super().__new__(cls, "own-" + re.sub("[^A-Za-z0-9_-]", "-", own))
        made.given = given
        return made


def _name(value: Any, check: ValidatorFunctionWrapHandler) -> str:
    if isinstance(value, NameOfObject):
        return value
    checked: str = check(value) if isinstance(value, str) else NameOfObject(value)
    return checked


# The name of a method, or the method itself as an object.
Method = Annotated[str, WrapValidator(_name)]


def gather(names: Iterable[str]) -> dict[str, Any]:
    """The objects among some names, by name.

    Raises:
        SettingsError: two objects have one name.
    """
    found: dict[str, Any] = {}
    for name in names:
        if isinstance(name, NameOfObject) and found.setdefault(name, name.given) is not name.given:
            raise SettingsError(f"the suite has two objects named '{name}'; give each an attribute `name` of its own")
    return found


class NetworkPurifier:
    """A network that makes purified pictures of pictures, as a purifier.

    Args:
        network: [N, 3, H, W] in [0, 1] to the same; its results are clamped.
    """

    def __init__(self, network: nn.Module):
        self.network = copy.deepcopy(network).eval()
        self.weights = {type(network).__name__: hash_weights(network)}

    def purify(self, images: Tensor, *, noise: Noise) -> Tensor:
        """Send the pictures through the network."""
        device = next((parameter.device for parameter in self.network.parameters()), images.device)
        made: Tensor = self.network(images.to(device))
        return made.to(images.device).clamp(0, 1)


def as_purifier(given: Any) -> Any:
    """A purifier, or a network in place of one."""
    return NetworkPurifier(given) if isinstance(given, nn.Module) and not hasattr(given, "purify") else given


def hash_weights(network: nn.Module) -> str:
    """Hash of the names and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()

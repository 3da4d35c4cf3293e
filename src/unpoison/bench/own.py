"""A researcher's own methods: Python objects under names that a suite uses, for as long as it runs."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from unpoison.bench.objects import as_purifier, hash_weights
from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.core.errors import SettingsError
from unpoison.core.methods import lend, lent, load_method
from unpoison.core.own import Own
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.poisons.methods import load_attack
from unpoison.poisons.own import OwnAttack
from unpoison.purifiers.methods import METHODS as PURIFIERS
from unpoison.purifiers.methods import load_purifier
from unpoison.purifiers.own import OwnPurifier

OWN = "own methods"  # the key under which settings tell of them; no method has a name with a space
_TABLES = {"purifier": PURIFIERS, "attack": ATTACKS, "classifier": CLASSIFIERS}
_LOAD: dict[str, Callable[[str], Any]] = {
    "purifier": load_purifier,
    "attack": load_attack,
    "classifier": partial(load_method, CLASSIFIERS, kind="classifier"),
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Beside the names.
_KEYS = frozenset(["attack", "method", "seed", "microbatch", "draws", "weights", "surrogates", "fraction", "classes"])


@contextmanager
def lending(
    *, purifiers: Mapping[str, Any], attacks: Mapping[str, Any], classifiers: Mapping[str, Any]
) -> Iterator[None]:
    """Let suites name these methods; see `run_suite`.

    Raises:
        SettingsError: a name is taken, or an object is no such method.
    """
    for kind, own in (("purifier", purifiers), ("attack", attacks), ("classifier", classifiers)):
        for name in own:
            if not _NAME.fullmatch(name):
                raise SettingsError(f"'{name}' is no name for a {kind}: take letters, digits, - and _")
            if name in _TABLES[kind] or name in _KEYS:
                raise SettingsError(f"the name '{name}' is unpoison's own; give your {kind} another one")
    with lend(
        {
            "purifier": {name: OwnPurifier(name, as_purifier(given)) for name, given in purifiers.items()},
            "attack": {name: OwnAttack(name, given) for name, given in attacks.items()},
            "classifier": {name: OwnClassifier(name, given) for name, given in classifiers.items()},
        }
    ):
        yield


class OwnClassifier(Own):
    """A researcher's builder `(classes, width) -> nn.Module`, or a network, which is taken as it is.

    Args:
        name: in the suite.
        given: the builder, or the network.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="__call__")

    def __call__(self, classes: int, width: int) -> torch.nn.Module:
        if isinstance(self.given, torch.nn.Module):
            return copy.deepcopy(self.given)
        built: torch.nn.Module = self.given(classes, width)
        return built

    def facts(self) -> dict[str, Any]:
        """Besides what `Own` says, the hash of the weights that a network comes with."""
        is_net = isinstance(self.given, torch.nn.Module)
        return {**super().facts(), **({"weights": hash_weights(self.given)} if is_net else {})}


def own_facts(**methods: Iterable[str]) -> dict[str, Any]:
    """What settings say of the methods among some that are not unpoison's; empty if all are.

    That is what tells one from another of its name: the class, a hash of its code if that can be read, its weights.

    Args:
        **methods: `purifier`, `attack` or `classifier` -> names.
    """
    found: dict[str, Any] = {
        name: _LOAD[kind](name).facts()
        for kind, names in methods.items()
        for name in names
        if name not in _TABLES[kind]
    }
    return {OWN: found} if found else {}


def lies_in_objects(names: Iterable[str]) -> bool:
    """Whether one of these methods was given as a Python object, so that nobody can find it by its name."""
    return any(lent(kind, name) for kind in _TABLES for name in names)

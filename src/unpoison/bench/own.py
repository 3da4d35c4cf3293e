"""A researcher's own methods: Python objects under names that a suite uses, for as long as it runs."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import create_model
from torch import Tensor

from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.methods import lend, lent, load_method
from unpoison.core.noise import Noise
from unpoison.core.settings import Settings
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.poisons.protocol import PoisonedSet
from unpoison.purifiers.methods import METHODS as PURIFIERS

OWN = "own methods"  # the key under which settings tell of them; no method has a name with a space
_TABLES = {"purifier": PURIFIERS, "attack": ATTACKS, "classifier": CLASSIFIERS}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_KEYS = {"attack", "method", "seed", "microbatch", "weights", "surrogates", "fraction", "classes"}  # beside the names


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
            "purifier": {name: OwnPurifier(name, given) for name, given in purifiers.items()},
            "attack": {name: OwnAttack(name, given) for name, given in attacks.items()},
            "classifier": {name: OwnClassifier(name, given) for name, given in classifiers.items()},
        }
    ):
        yield


class Own:
    """A method that was given as an object or class.

    Args:
        name: in the suite.
        given: the object.
        needs: what it must be able to do.
    """

    def __init__(self, name: str, given: Any, *, needs: str):
        self.name, self.given, self.is_class = name, given, inspect.isclass(given)
        if not callable(getattr(given, needs, None)):
            raise SettingsError(f"'{name}' is given as {_called(given)}, which has no {needs}()")


class OwnPurifier(Own):
    """Makes a researcher's purifier from its settings, as a class of unpoison's would.

    Args:
        name: in the suite.
        given: a class, called with `(settings, device=)`; or an object, whose settings are its own.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="purify")
        if hasattr(given, "prepare"):
            raise SettingsError(
                f"'{name}' looks at the whole set first (prepare); name its class as package.module:Class in the suite"
            )
        self.Settings = _settings_of(given)

    def __call__(self, settings: Settings, *, device: torch.device) -> _Complete:
        made = self.given(settings, device=device) if self.is_class else self.given
        return _Complete(self.name, made, settings)


class _Complete:
    """A purifier with what it may have left out: it is then taken to need whole pictures, and no weights."""

    strength_255: float | None = None
    halo: int | None = None

    def __init__(self, name: str, purifier: Any, settings: Settings):
        self.settings, self._name, self._purifier = settings, name, purifier
        self._takes = {"on_step", "should_stop"}.intersection(inspect.signature(purifier.purify).parameters)
        self.weights = _weights(purifier)
        for attribute in ("strength_255", "halo"):
            if hasattr(purifier, attribute):
                setattr(self, attribute, getattr(purifier, attribute))

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        hooks = {"on_step": on_step, "should_stop": should_stop}
        taken = {name: hook for name, hook in hooks.items() if name in self._takes}
        # Runs compute in inference mode, whose tensors know no gradients; code from elsewhere may ask for some.
        with torch.inference_mode(False), torch.no_grad():
            purified = self._purifier.purify(images.clone(), noise=noise, **taken)
        if not isinstance(purified, Tensor) or purified.shape != images.shape:
            found = list(purified.shape) if isinstance(purified, Tensor) else type(purified).__name__
            raise RunError(f"purifier '{self._name}' made {found} of images {list(images.shape)}; keep their shape")
        return purified


class OwnAttack(Own):
    """Gives a researcher's attack, as a class of unpoison's would be made.

    Args:
        name: in the suite.
        given: a class, called without arguments; or an object.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="craft")
        self.Settings = _settings_of(given)
        self.chooses = bool(getattr(given, "chooses", False))

    def __call__(self) -> OwnAttack:
        return self

    def craft(self, image_set: ImageSet, settings: Settings, **given: Any) -> PoisonedSet:
        attack = self.given() if self.is_class else self.given
        crafted: PoisonedSet = attack.craft(image_set, settings, **given)
        return crafted


class OwnClassifier(Own):
    """A researcher's builder `(classes, width) -> nn.Module`.

    Args:
        name: in the suite.
        given: the builder.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="__call__")

    def __call__(self, classes: int, width: int) -> torch.nn.Module:
        built: torch.nn.Module = self.given(classes, width)
        return built


def own_facts(**methods: Iterable[str]) -> dict[str, Any]:
    """What settings say of the methods among some that are not unpoison's; empty if all are.

    That is what tells one from another of its name: the class, a hash of its code if that can be read, its weights.

    Args:
        **methods: `purifier`, `attack` or `classifier` -> names.
    """
    found = {
        name: _facts(load_method(_TABLES[kind], name, kind=kind))
        for kind, names in methods.items()
        for name in names
        if name not in _TABLES[kind]
    }
    return {OWN: found} if found else {}


def _facts(method: Any) -> dict[str, Any]:
    given = method.given if isinstance(method, Own) else method
    code = given if inspect.isclass(given) or inspect.isroutine(given) else type(given)
    try:
        source = hashlib.sha256(inspect.getsource(code).encode()).hexdigest()[:16]
    except (OSError, TypeError):
        source = ""
    weights = _weights(given)
    return {"class": _called(given), "source": source, **({"weights": weights} if weights else {})}


def lies_in_objects(names: Iterable[str]) -> bool:
    """Whether one of these methods was given as a Python object, so that nobody can find it by its name."""
    return any(lent(kind, name) for kind in _TABLES for name in names)


def _settings_of(given: Any) -> type[Settings]:
    """The settings model of a method; that of an object has the object's values as defaults."""
    model = getattr(given, "Settings", Settings)
    if not (inspect.isclass(model) and issubclass(model, Settings)):
        raise SettingsError(f"the Settings of {_called(given)} do not derive from unpoison.core.settings.Settings")
    made = getattr(given, "settings", None)
    if inspect.isclass(given) or not isinstance(made, Settings):
        return model
    fields: dict[str, Any] = {
        name: (field.annotation, getattr(made, name)) for name, field in type(made).model_fields.items()
    }
    return create_model(type(made).__name__, __base__=type(made), **fields)


def _weights(given: Any) -> dict[str, str]:
    """Hashes of weight files by name, where a method has them as unpoison's do; `weights` may be anything else."""
    found = getattr(given, "weights", None)
    is_ours = isinstance(found, Mapping) and all(isinstance(digest, str) for digest in found.values())
    return {str(name): digest for name, digest in found.items()} if isinstance(found, Mapping) and is_ours else {}


def _called(given: Any) -> str:
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}.{named.__qualname__}"

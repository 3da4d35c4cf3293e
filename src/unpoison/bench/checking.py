"""The settings that a suite asks for, and whether all of them can be had: asked before its first training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from unpoison.bench.sections import Defence, Model
from unpoison.bench.suite import Suite
from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.classify.settings import LoopSettings, scratch_settings, transfer_settings
from unpoison.core.chains import split_chain
from unpoison.core.errors import SettingsError, UnpoisonError
from unpoison.core.methods import check_method
from unpoison.core.settings import build_settings, file_fields
from unpoison.core.suggestions import suggest
from unpoison.fitting.settings import EnergySettings, FitSettings, OptimiserSettings
from unpoison.nets.shipped import check_model
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.fresh import check_draws


def check_parts(suite: Suite) -> None:
    """Refuse a suite with an entry that could not be run.

    Raises:
        SettingsError: names the entry, and what is wrong with it.
    """
    for name, attack in suite.attacks.items():
        with _entry(suite, f"attacks.{name}"):
            for case in attack.each_case() if attack.attack else ():
                attack.parts(case)
    for name, model in suite.models.items():
        with _entry(suite, f"models.{name}"):
            fit_settings(model)
    for name, fitted in suite.classifiers.items():
        with _entry(suite, f"classifiers.{name}"):
            check_method(CLASSIFIERS, fitted.model, kind="classifier")
            scratch_settings(profiles=fitted.profile, overrides=fitted.set)
    with _entry(suite, "train"):
        if suite.train.mode == "scratch":
            check_method(CLASSIFIERS, suite.train.model, kind="classifier")
        training_settings(suite, Defence())
    for name, defence in suite.defences.items():
        with _entry(suite, f"defences.{name}"):
            training_settings(suite, defence)
            if defence.purify:
                _check_purifier(defence)
            elif defence.draws is not None:
                raise SettingsError("draws are those of a purifier: name one with purify")


def check_classes(suite: Suite, names: Sequence[str]) -> None:
    """Refuse attacks on classes that the training set does not have.

    Raises:
        SettingsError: names the attack and the class.
    """
    for attack_name, attack in suite.attacks.items():
        cases = attack.each_case() if attack.attack else []
        asked = [name for case in cases for part in attack.parts(case) for name in part.classes]
        for name in asked:
            if name not in names:
                raise SettingsError(
                    f"suite {suite.name}, [attacks.{attack_name}]: there is no class '{name}'{suggest(name, names)}"
                )


def training_settings(suite: Suite, defence: Defence) -> LoopSettings:
    """How a classifier is trained under a defence."""
    asked = suite.training_of(defence)
    profiles = [*asked.profile, *defence.train_profile]
    fields = {**asked.set, **defence.train_set}
    if defence.train:
        fields["defence"] = defence.train
    if asked.mode == "scratch":
        return scratch_settings(profiles=profiles, overrides=fields)
    return transfer_settings(asked.mode, profiles=profiles, overrides=fields)


def fit_settings(model: Model) -> OptimiserSettings:
    """How a model of a suite is fitted."""
    kind: type[OptimiserSettings] = EnergySettings if model.kind == "energy" else FitSettings
    return build_settings(
        kind, profiles=model.profile, room="unpoison.fitting", overrides=model.set, of=f"the {model.kind} model"
    )


def model_field(defence: Defence, field: str) -> str:
    """Name of the setting that takes one of the suite's models; in a chain they are for its last link."""
    return f"{links[-1]}.{field}" if len(links := split_chain(defence.purify)) > 1 else field


def _check_purifier(defence: Defence) -> None:
    fitted = {model_field(defence, field): "fitted" for field in defence.models()}
    for name, link in purifier_settings(defence.purify, overrides={**defence.set, **fitted}).items():
        for field in file_fields(type(link)):
            named = getattr(link, field)
            if not named:
                raise SettingsError(f"{name} needs a model: set {field} to one of the suite's, or to a file")
            if named != "fitted":
                check_model(named)
        if defence.draws is not None:
            check_draws(name)


@contextmanager
def _entry(suite: Suite, name: str) -> Iterator[None]:
    try:
        yield
    except UnpoisonError as error:
        raise SettingsError(f"suite {suite.name}, [{name}]: {error}") from None

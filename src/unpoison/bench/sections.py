"""The sections of a suite's file: attacks, defences, networks, sets, and the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from unpoison.bench.objects import Method
from unpoison.poisons.mixture import Ingredient, read_mixture

Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A section of the file: its fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Attack(Section):
    """One attack of the grid, or none.

    Args:
        attack: name of the attack, or a mixture like `lsp+tap`; empty leaves the set clean. In Python also an attack as
            an object or class.
        profile: profiles of `poisons`, in order.
        set: fields of its settings; in a mixture `attack.field`.
        fraction: share of every class that is poisoned; for a mixture set `attack.fraction`.
        classes: names of the classes that are poisoned; all if left out.
        cases: one field -> values: the attack is run once for each, e.g. for several target classes or targets, and
            the table gathers them in one row.
        surrogates: names of the suite's classifiers that the attacker has.
        auxiliary: name of the set that he trains on besides, for Narcissus.
        target_set: name of the set that holds the pictures to be misread.
    """

    attack: Method = ""
    profile: list[str] = []
    set: dict[str, Any] = {}
    fraction: float = 1.0
    classes: list[str] = []
    cases: dict[str, list[Any]] = Field(default={}, max_length=1)
    surrogates: list[str] = []
    auxiliary: str = ""
    target_set: str = ""

    def each_case(self) -> list[dict[str, Any]]:
        """The field and value of every case; one empty case if there are none."""
        return [{field: value} for field, values in self.cases.items() for value in values] or [{}]

    def parts(self, case: dict[str, Any]) -> list[Ingredient]:
        """What is done in a case."""
        shares: dict[str, Any] = {}
        if "+" not in self.attack:
            shares = {"fraction": self.fraction, "classes": tuple(self.classes)}
        return read_mixture(self.attack, profiles=self.profile, overrides={**shares, **self.set, **case})


class Source(Section):
    """An image set that is not taken as it comes.

    Args:
        source: as `read` takes it.
        size: side of the squares that its pictures are brought to.
    """

    source: str
    size: int = Field(ge=1, le=10_000)


class Model(Section):
    """A network that the suite fits on images.

    Args:
        kind: `diffusion`, or `energy` for an energy model.
        fit: which of the suite's sets it is fitted on.
        profile: profiles of `fitting`, in order.
        set: fields of its settings.
        seed: of the fit.
    """

    kind: Literal["diffusion", "energy"] = "diffusion"
    fit: str
    profile: list[str] = []
    set: dict[str, Any] = {}
    seed: Seed = 0


def _check_draws(value: Any) -> Any:
    if value is None or value == "fresh" or (type(value) is int and value > 0):
        return value
    raise ValueError('is neither "fresh" nor a whole number from 1')


class Defence(Section):
    """One defence of the grid, or none.

    Args:
        purify: purifier applied to the training set, chains with `+`; empty for none. In Python also a purifier as an
            object or class, or a network that makes purified pictures of pictures.
        model: name of one of the suite's models, for purifiers that need one.
        energy: name of the energy model, for purifiers that need one besides.
        set: fields of the purifier's settings.
        draws: purify in the training, before the augmentation: `fresh`, every picture anew in every epoch, or so many
            draws that take turns. If left out, the set is purified once, beforehand.
        train: defence at train time, several with `+`; empty for none.
        train_profile: profiles of `classify` on top of the suite's.
        train_set: fields of the training on top of the suite's, e.g. of its defence, `epic.fraction`.
        body: one of the suite's classifiers, which is fine-tuned in place of a training from scratch; a suite of
            transfers transfers it in place of its own. From scratch's profiles and fields do not apply to it.
        seeds: of this column, where they are not the suite's.
    """

    purify: Method = ""
    model: str = ""
    energy: str = ""
    set: dict[str, Any] = {}
    draws: Annotated[int | Literal["fresh"] | None, BeforeValidator(_check_draws)] = None
    train: str = ""
    train_profile: list[str] = []
    train_set: dict[str, Any] = {}
    body: str = ""
    seeds: list[Seed] | None = None

    def models(self) -> dict[str, str]:
        """The suite's models that it uses, by the field of the purifier that they are for."""
        return {field: name for field, name in (("model", self.model), ("energy", self.energy)) if name}

    def count_draws(self, epochs: int) -> int:
        """How often the set is purified for a training of so many epochs, if it is at all."""
        if self.draws is None:
            return 1
        return epochs if self.draws == "fresh" else min(self.draws, epochs)

    def is_none(self) -> bool:
        """Whether this is the undefended run."""
        return not (self.purify or self.changes_training())

    def changes_training(self) -> bool:
        """Whether it trains otherwise than the suite."""
        return bool(self.train or self.train_profile or self.train_set or self.body)


class Training(Section):
    """How every classifier of the suite is trained.

    Args:
        model: architecture. In Python also a builder `(classes, width) -> nn.Module`, or a network, of which each
            training takes a copy as it is.
        profile: profiles of `classify`, in order.
        set: fields of its settings.
        mode: `scratch`; or `linear` or `fine-tune`, which put a new head on a trained body.
        body: one of the suite's classifiers, for these two.
    """

    model: Method = "resnet18"
    profile: list[str] = ["fast"]
    set: dict[str, Any] = {}
    mode: Literal["scratch", "linear", "fine-tune"] = "scratch"
    body: str = ""


class ClassifierFit(Section):
    """A classifier that is trained once: a surrogate that attackers have, or a body for transfer.

    Args:
        fit: which of the suite's sets it is trained on.
        test: which it is tested on.
        model: architecture.
        profile: profiles of `classify`, in order.
        set: fields of its settings.
        seed: of the training.
    """

    fit: str
    test: str = "test"
    model: Method = "resnet18"
    profile: list[str] = ["fast"]
    set: dict[str, Any] = {}
    seed: Seed = 0

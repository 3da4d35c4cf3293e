"""A suite: the TOML file that describes a grid of trials."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.data import read


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attack(_Part):
    """One attack of the grid, or none.

    Args:
        attack: name of the attack; empty leaves the set clean.
        set: fields of its settings.
        fraction: share of every class that is poisoned.
    """

    attack: str = ""
    set: dict[str, Any] = {}
    fraction: float = 1.0


class Model(_Part):
    """A diffusion model that the suite fits.

    Args:
        fit: which of the suite's sets it is fitted on.
        profile: profiles of `fitting`, in order.
        set: fields of its settings.
        seed: of the fit.
    """

    fit: str
    profile: list[str] = []
    set: dict[str, Any] = {}
    seed: int = 0


class Defence(_Part):
    """One defence of the grid, or none.

    Args:
        purify: purifier applied to the training set, chains with `+`; empty for none.
        model: name of one of the suite's models, for purifiers that need one.
        set: fields of the purifier's settings.
        train_profile: profiles of `classify` on top of the suite's, e.g. `compensation`.
        seeds: of this column, where they are not the suite's.
    """

    purify: str = ""
    model: str = ""
    set: dict[str, Any] = {}
    train_profile: list[str] = []
    seeds: list[int] | None = None

    def is_none(self) -> bool:
        """Whether this is the undefended run."""
        return not self.purify and not self.train_profile


class Training(_Part):
    """How every classifier of the suite is trained.

    Args:
        model: architecture.
        profile: profiles of `classify`, in order.
        set: fields of its settings.
    """

    model: str = "resnet18"
    profile: list[str] = ["fast"]
    set: dict[str, Any] = {}


class Suite(_Part):
    """A grid of trials.

    Args:
        name: folder of its records.
        title: what it shows, in a sentence.
        seeds: every cell is run once for each.
        sets: `train`, `test` and whatever the models are fitted on: name -> source as `read` takes it; paths are
            relative to the root given when the suite is run.
        models: diffusion models to fit.
        attacks: rows of the grid; one of them without an attack is the clean control.
        defences: columns; one of them without a defence is the undefended run.
        train: the classifier.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str = ""
    seeds: list[int] = [0]
    sets: dict[str, str]
    models: dict[str, Model] = {}
    attacks: dict[str, Attack]
    defences: dict[str, Defence]
    train: Training = Training()

    def check(self) -> None:
        """Refuse a suite whose parts do not fit together.

        Raises:
            SettingsError: a set, model or control is missing.
        """
        for needed in ("train", "test", *(model.fit for model in self.models.values())):
            if needed not in self.sets:
                raise SettingsError(f"suite {self.name}: [sets] lacks '{needed}'")
        for name, defence in self.defences.items():
            if defence.model and defence.model not in self.models:
                raise SettingsError(
                    f"suite {self.name}: defence {name} names the model '{defence.model}', not in [models]"
                )
        if all(attack.attack for attack in self.attacks.values()):
            raise SettingsError(f"suite {self.name}: [attacks] needs a clean control, an entry without `attack`")
        if not any(defence.is_none() for defence in self.defences.values()):
            raise SettingsError(f"suite {self.name}: [defences] needs an undefended run, an entry without fields")

    def read_set(self, name: str, root: Path | None) -> ImageSet:
        """Read one of its sets."""
        source = self.sets[name]
        path = source.split("#")[0].split("[")[0]
        return read(str(root / source) if root and (root / path).exists() else source)


def read_suite(path: Path) -> Suite:
    """Read and check a suite.

    Raises:
        SettingsError: the file is missing, is not TOML or does not describe a suite.
    """
    try:
        suite = Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"suite {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"suite {path} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"suite {path}, {field}: {first['msg']}") from None
    suite.check()
    return suite

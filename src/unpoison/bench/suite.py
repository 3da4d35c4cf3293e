"""A suite: the TOML file that describes a grid of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, PrivateAttr, ValidationError

from unpoison.bench.objects import gather
from unpoison.bench.sections import Attack, ClassifierFit, Defence, Model, Section, Seed, Source, Training
from unpoison.core.documents import format_toml, parse_toml, read_text
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.precision import Resolved
from unpoison.core.validation import explain
from unpoison.data import read
from unpoison.data.pictures.resizing import resize


def _given(value: Any) -> Any:
    """A path as text; anything else that holds pictures as a set."""
    if isinstance(value, PathLike):
        return fspath(value)
    return value if isinstance(value, (str, dict, Source)) else read(value)


_GIVEN = "given in Python: "
# A set that was given in Python, as an object; in the suite's file stands its name.
Given = Annotated[InstanceOf[ImageSet], PlainSerializer(lambda found: f"{_GIVEN}{found.name}")]


class Suite(Section):
    """A grid of trials.

    Args:
        name: folder of its records.
        title: what it shows, in a sentence.
        speed: let its table say how fast each column purifies.
        precision: what `auto` stands for in all that it trains, purifies, fits and poisons, so that records of several
            machines are of one kind; if left out, the machine on which it is begun decides.
        seeds: every cell is run once for each.
        sets: `train`, `test` and whatever the models are fitted on: name -> source as `read` takes it, or a table of
            source and size; paths are relative to the root given when the suite is run. In Python also an ImageSet, or
            any object that `read` takes.
        models: networks to fit.
        classifiers: classifiers to train beforehand.
        attacks: rows of the grid; one of them without an attack is the clean control.
        defences: columns; one of them without a defence is the undefended run.
        train: the classifier.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)
    title: str = ""
    speed: bool = False
    precision: Resolved | None = None
    seeds: list[Seed] = Field(default=[0], min_length=1, max_length=1000)
    sets: dict[str, Annotated[str | Source | Given, BeforeValidator(_given)]]
    models: dict[str, Model] = Field(default={})
    classifiers: dict[str, ClassifierFit] = Field(default={})
    attacks: dict[str, Attack]
    defences: dict[str, Defence]
    train: Training = Training()

    _read_from: str = PrivateAttr("")

    def __eq__(self, other: object) -> bool:  # the words in which it was written do not count
        return isinstance(other, Suite) and self.__dict__ == other.__dict__

    def text(self) -> str:
        """The suite as a TOML file: as it was read, or written anew if it was made, or changed, in Python."""
        if self._read_from and Suite.model_validate(parse_toml(self._read_from)) == self:
            return self._read_from
        return format_toml(self.model_dump(mode="json", exclude_defaults=True))

    def objects(self) -> dict[str, dict[str, Any]]:
        """Methods that were given as objects: `purifiers`, `attacks` and `classifiers`, by name.

        Raises:
            SettingsError: two have one name.
        """
        nets = [self.train.model, *(fitted.model for fitted in self.classifiers.values())]
        return {
            "purifiers": gather(defence.purify for defence in self.defences.values()),
            "attacks": gather(attack.attack for attack in self.attacks.values()),
            "classifiers": gather(nets),
        }

    def check(self) -> None:
        """Refuse a suite whose parts do not fit together.

        Raises:
            SettingsError: a set, model or control is missing.
        """
        attacks = self.attacks.values()
        sets = ["train", "test", *(model.fit for model in self.models.values())]
        sets += [name for fitted in self.classifiers.values() for name in (fitted.fit, fitted.test)]
        sets += [name for attack in attacks for name in (attack.auxiliary, attack.target_set) if name]
        self._require(sets, self.sets, "sets")
        models = [name for defence in self.defences.values() for name in defence.models().values()]
        self._require(models, self.models, "models")
        classifiers = [name for attack in attacks for name in attack.surrogates]
        if self.train.mode != "scratch":
            classifiers.append(self.train.body)
        classifiers += [defence.body for defence in self.defences.values() if defence.body]
        self._require(classifiers, self.classifiers, "classifiers")
        if all(attack.attack for attack in self.attacks.values()):
            raise SettingsError(f"suite {self.name}: [attacks] needs a clean control, an entry without `attack`")
        if not any(defence.is_none() for defence in self.defences.values()):
            raise SettingsError(f"suite {self.name}: [defences] needs an undefended run, an entry without fields")

    def training_of(self, defence: Defence) -> Training:
        """How a column is trained, but for its own profiles and fields."""
        if not defence.body:
            return self.train
        transfer = Training(mode="fine-tune", profile=[]) if self.train.mode == "scratch" else self.train
        return transfer.model_copy(update={"model": self.classifiers[defence.body].model, "body": defence.body})

    def _require(self, names: Iterable[str], table: Mapping[str, Any], section: str) -> None:
        for name in names:
            if name not in table:
                raise SettingsError(f"suite {self.name}: [{section}] lacks '{name}', which another part of it names")

    def read_set(self, name: str, root: Path | None) -> ImageSet:
        """Read one of its sets."""
        given = self.sets[name]
        if isinstance(given, ImageSet):
            return given
        if isinstance(given, str) and given.startswith(_GIVEN):
            raise SettingsError(f"suite {self.name}: [sets] {name} was {given}; run the suite there, with that set")
        source = given if isinstance(given, str) else given.source
        path = source.split("#")[0].split("[")[0]
        found = read(str(root / source) if root and (root / path).exists() else source)
        return found if isinstance(given, str) else resize(found, given.size)


def read_suite(path: Path) -> Suite:
    """Read and check a suite.

    Raises:
        SettingsError: the file is missing, is not TOML or does not describe a suite.
    """
    try:
        text = read_text(path)
        suite = Suite.model_validate(parse_toml(text))
    except OSError as error:
        raise SettingsError(f"suite {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise SettingsError(explain(error, Suite, of=f"suite {path}")) from None
    except ValueError as error:
        raise SettingsError(f"suite {path} is not valid TOML: {error}") from None
    suite._read_from = text
    suite.check()
    return suite

"""Intermediate sets and models of a suite: each is made once, under the hash of what it was made from.

Several processes may share a folder: whoever comes first makes a thing, the others get `Busy` and do something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, get_args

from filelock import FileLock, Timeout

from unpoison.bench.checking import fit_settings, model_field
from unpoison.bench.sharing import can_share, purify_changed
from unpoison.bench.suite import ClassifierFit, Defence, Model
from unpoison.classify.saving import WEIGHTS, hash_classifier, load_classifier, save_classifier
from unpoison.classify.settings import scratch_settings
from unpoison.classify.training import train
from unpoison.core.device import choose_device
from unpoison.core.errors import DataError
from unpoison.core.hashing import hash_file, hash_json
from unpoison.core.images import ImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.core.precision import Resolved, choose_precision, resolve
from unpoison.core.progress import OnStep, write_line
from unpoison.core.settings import PrecisionOrInt8, Settings, with_precision
from unpoison.data import read
from unpoison.fitting.diffusion import fit
from unpoison.fitting.energy import fit_energy
from unpoison.fitting.settings import EnergySettings
from unpoison.poisons.crafting import poison_mixture, sets_used, write_poisoned
from unpoison.poisons.mixture import Ingredient
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.settings import purifier_settings
from unpoison.purifiers.shipped import WEIGHT_FIELDS, weights_path
from unpoison.runs.to_files import purify_to
from unpoison.runs.work import PurifyRun

S = TypeVar("S", bound=Settings)


class Busy(Exception):
    """Another process is making this just now."""


class Bar(Protocol):
    """Makes a progress bar from what is being done, the word for a step, and whether it is a trial's own training."""

    def __call__(self, label: str, unit: str, *, is_trial: bool = False) -> AbstractContextManager[OnStep]: ...


@dataclass(frozen=True)
class Made:
    """A set or model with what went into it.

    Args:
        value: the image set, the path of the model, or the classifier.
        digest: content hash, or sha256 of the weights.
        settings: every setting that it was made with.
        seconds: time to make it; 0 if it was there.
        manifest: of a set that was made.
    """

    value: Any
    digest: str
    settings: dict[str, Any]
    seconds: float
    manifest: Path | None = None


class Workshop:
    """Makes what trials need and keeps it in a folder.

    Args:
        folder: where intermediate files lie; may be deleted at any time.
        device: where to compute.
        bar: makes progress bars.
        precision: of every network, whatever the suite's profiles say; theirs if left out.
        begun: what `auto` stood for when the suite was begun; else the device decides.
        int8: let `auto` be int8 where a method prefers it; not so in suites that were begun before it was there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        bar: Bar,
        precision: PrecisionOrInt8 | None = None,
        begun: Resolved | None = None,
        int8: bool = True,
    ):
        self.folder, self.device, self.bar = folder, device, bar
        self._place, self._asked, self._begun, self._int8 = choose_device(device), precision, begun, int8

    @property
    def precision(self) -> Resolved:
        """What `auto` stands for."""
        if self._asked in get_args(Resolved):
            return cast(Resolved, self._asked)
        return self._begun or choose_precision(self._place).precision

    def settle(self, settings: S) -> S:
        """Settings with the arithmetic in them that is used."""
        settings = with_precision(settings, self._asked)
        begun = None if self._int8 and settings.prefers_int8(self._place) else self.precision
        return resolve(settings, self._place, begun)

    def fit(self, model: Model, clean: ImageSet) -> Made:
        """Fit a network; an interrupted fit goes on from its checkpoint."""
        settings = self.settle(fit_settings(model))
        asked = {**settings.model_dump(mode="json"), "seed": model.seed}
        path = self.folder / "models" / f"{hash_json([clean.content_hash, asked])[:16]}.safetensors"

        def make(path: Path) -> None:
            with self.bar(f"fit {model.kind}", "it") as on_step:
                about: dict[str, Any] = {"seed": model.seed, "device": self.device, "on_step": on_step}
                if isinstance(settings, EnergySettings):
                    fit_energy(clean, out=path, settings=settings, **about)
                else:
                    fit(clean, out=path, settings=settings, **about)

        seconds = self._make_once(path, partial(make, path))
        return Made(path, hash_file(path), {**asked, "images": len(clean)}, seconds)

    def train(self, fitted: ClassifierFit, train_set: ImageSet, test_set: ImageSet) -> Made:
        """Train a classifier of the suite."""
        settings = self.settle(scratch_settings(profiles=fitted.profile, overrides=fitted.set))
        asked = {"model": fitted.model, **settings.model_dump(mode="json"), "seed": fitted.seed}
        path = self.folder / "classifiers" / hash_json([train_set.content_hash, asked])[:16]

        def make(path: Path) -> None:
            with self.bar(f"train {fitted.model}", "step") as on_step:
                trained = train(
                    train_set,
                    test_set=test_set,
                    model=fitted.model,
                    settings=settings,
                    seed=fitted.seed,
                    device=self.device,
                    on_step=on_step,
                )
            save_classifier(path, trained)

        seconds = self._make_once(path / WEIGHTS, partial(make, path))
        classifier = load_classifier(path)
        return Made(classifier, hash_classifier(classifier), {**asked, "images": len(train_set)}, seconds)

    def poison(
        self, parts: Sequence[Ingredient], clean: ImageSet, seed: int, resources: Resources | None = None
    ) -> Made:
        """Poison the training set, or give the clean one back if there are no parts."""
        if not parts:
            return Made(clean, clean.content_hash, {}, 0.0)
        resources = resources or Resources(device=self.device)
        parts = [replace(part, settings=self.settle(part.settings)) for part in parts]
        name = "+".join(part.attack for part in parts)
        described = {part.attack: part.describe() for part in parts}
        asked = {"attack": name, "seed": seed, **(described if len(parts) > 1 else described[name])}
        asked.update({f"{used} of": found["hash"] for used, found in sets_used(resources).items()})
        if resources.surrogates:
            asked["surrogates"] = [hash_classifier(net) for net in resources.surrogates]

        def make(path: Path) -> None:
            with self.bar(f"poison {name}", "step") as on_step:
                result = poison_mixture(clean, parts, seed=seed, resources=replace(resources, on_step=on_step))
            write_poisoned(result, clean, path)

        return self._set(asked, clean.content_hash, make)

    def purify(
        self, defence: Defence, models: Mapping[str, Made], source: Made, seed: int, *, base: Made | None = None
    ) -> Made:
        """Purify a set, or give it back.

        Args:
            defence: how.
            models: the suite's models that it uses, by the field of the purifier.
            source: the set.
            seed: of the noise.
            base: the set that the source was poisoned from. Where most pictures are the same in both, as under a
                trigger, those are purified once, with the base.
        """
        if not defence.purify:
            return Made(source.value, source.digest, {}, 0.0)
        fitted = {model_field(defence, field): str(model.value) for field, model in models.items()}
        settings = purifier_settings(defence.purify, overrides={**defence.set, **fitted})
        run = PurifyRun({name: self.settle(link) for name, link in settings.items()}, seed=seed)
        asked = {"method": run.method, "seed": seed, **run.describe()}
        if found := _weights_not_from(models, run):  # other weights may come under the same name
            asked["weights"] = found
        shared = self.purify(defence, models, base, seed) if base and can_share(source.value, base.value, run) else None

        def make(path: Path) -> None:
            with self.bar(f"purify {run.method}", "img") as on_step:
                about: dict[str, Any] = {"device": self.device, "on_step": on_step}
                if base and shared:
                    purify_changed(source.value, path, run, base=base.value, purified=shared.value, **about)
                else:
                    purify_to(source.value, path, run, **about)

        return self._set(asked, source.digest, make)

    def _set(self, asked: dict[str, Any], source: str, make: Callable[[Path], None]) -> Made:
        path = self.folder / "sets" / f"{hash_json([source, asked])[:16]}.npz"
        seconds = 0.0
        with self.claim(f"{path.parent.name}-{path.stem}"):
            image_set = _read_intact(path)
            if image_set is None:
                path.unlink(missing_ok=True)
                started = time.perf_counter()
                make(path)
                seconds = time.perf_counter() - started
                image_set = read(path)
        return Made(image_set, image_set.content_hash, asked, seconds, manifest_path(path))

    def _make_once(self, path: Path, make: Callable[[], None]) -> float:
        """Make something unless the file that is written last is there; the seconds that took."""
        with self.claim(f"{path.parent.name}-{path.stem}"):
            if path.exists():
                return 0.0
            started = time.perf_counter()
            make()
            return time.perf_counter() - started

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold a thing against other processes; the claim of a process that died is void.

        Raises:
            Busy: another process holds it.
        """
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # Names of attacks and defences are the suite's, and may be anything.
        lock = FileLock(locks / hash_json(name)[:16], timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Busy(name) from None
        try:
            yield
        finally:
            lock.release()


def _read_intact(path: Path) -> ImageSet | None:
    """A set that was made before; None if there is none, or not the one that its manifest tells of."""
    if not path.exists():
        return None
    try:
        image_set = read(path)
        if image_set.content_hash == read_manifest(manifest_path(path)).steps[-1].result:
            return image_set
    except DataError:
        pass
    write_line(f"unpoison: {path} is damaged or was changed, and is made again")
    return None


def _weights_not_from(models: Mapping[str, Made], run: PurifyRun) -> str:
    """Hashes of the weight files of a run that the suite has not fitted itself, in order."""
    own = {str(model.value) for model in models.values()}
    named = [getattr(settings, field, "") for settings in run.settings.values() for field in WEIGHT_FIELDS]
    return ",".join(hash_file(weights_path(name)) for name in named if name and name not in own)

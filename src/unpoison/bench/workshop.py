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
from typing import Any, Generic, Protocol, TypeVar, cast, get_args

from filelock import FileLock, Timeout

from unpoison.bench.checking import fit_settings, model_field
from unpoison.bench.own import own_facts
from unpoison.bench.sharing import can_share, purify_changed
from unpoison.bench.suite import ClassifierFit, Defence, Model
from unpoison.classify.classifier import Classifier
from unpoison.classify.saving import WEIGHTS, hash_classifier, load_classifier, save_classifier
from unpoison.classify.settings import scratch_settings
from unpoison.classify.training import train
from unpoison.core.device import choose_device
from unpoison.core.errors import DataError, RunError
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
from unpoison.nets.shipped import weights_path
from unpoison.poisons.crafting import poison_mixture, sets_used, write_poisoned
from unpoison.poisons.mixture import Ingredient
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

_HELD_SETS = 4  # in memory at once: poisoned, purified, and the clean set purified in the same way


class Busy(Exception):
    """Another process is making this just now."""


class Bar(Protocol):
    """Makes a progress bar from what is being done, the word for a step, and whether it is a trial's own training."""

    def __call__(self, label: str, unit: str, *, is_trial: bool = False) -> AbstractContextManager[OnStep]: ...


@dataclass(frozen=True)
class Made(Generic[T]):
    """A set, a model's file or a classifier, with what went into it.

    Args:
        get: reads it; what a trial does not look at is never read.
        digest: content hash, or sha256 of the weights.
        settings: every setting that it was made with.
        seconds: time to make it; 0 if it was there.
        manifest: of a set that was made.
    """

    get: Callable[[], T]
    digest: str
    settings: dict[str, Any]
    seconds: float
    manifest: Path | None = None

    @property
    def value(self) -> T:
        """The thing itself."""
        return self.get()


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
        self._digests: dict[Path, str] = {}  # of what this run has made, or found, once
        self._weights: dict[str, str] = {}  # hashes of weight files that purifiers name
        self._held: dict[Path, ImageSet] = {}  # the sets that were read last

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

    def fit(self, model: Model, clean: ImageSet) -> Made[Path]:
        """Fit a network; an interrupted fit goes on from its checkpoint."""
        settings = self.settle(fit_settings(model))
        asked = {**settings.model_dump(mode="json"), "seed": model.seed}
        path = self.folder / "models" / f"{hash_json([clean.content_hash, asked])[:16]}.safetensors"

        def make() -> None:
            with self.bar(f"fit {model.kind}", "it") as on_step:
                about: dict[str, Any] = {"seed": model.seed, "device": self.device, "on_step": on_step}
                if isinstance(settings, EnergySettings):
                    fit_energy(clean, out=path, settings=settings, **about)
                else:
                    fit(clean, out=path, settings=settings, **about)

        seconds = self._ensure(path, lambda: hash_file(path) if path.exists() else None, make)
        return Made(lambda: path, self._digests[path], {**asked, "images": len(clean)}, seconds)

    def train(self, fitted: ClassifierFit, train_set: ImageSet, test_set: ImageSet) -> Made[Classifier]:
        """Train a classifier of the suite."""
        settings = self.settle(scratch_settings(profiles=fitted.profile, overrides=fitted.set))
        asked = {"model": fitted.model, **settings.model_dump(mode="json"), "seed": fitted.seed}
        asked.update(own_facts(classifier=[fitted.model]))
        path = self.folder / "classifiers" / hash_json([train_set.content_hash, asked])[:16]

        def find() -> str | None:
            return hash_classifier(load_classifier(path)) if (path / WEIGHTS).exists() else None

        def make() -> None:
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

        seconds = self._ensure(path, find, make)
        # Loaded anew for each use: nobody need care what another did to his copy.
        settings_and_size = {**asked, "images": len(train_set)}
        return Made(partial(load_classifier, path), self._digests[path], settings_and_size, seconds)

    def poison(
        self,
        parts: Sequence[Ingredient],
        clean: ImageSet,
        seed: int,
        resources: Resources | None = None,
        surrogates: Sequence[Made[Classifier]] = (),
    ) -> Made[ImageSet]:
        """Poison a set, or give it back.

        Args:
            parts: how; the set is given back if there are none.
            clean: the set.
            seed: of the poison.
            resources: what attackers have besides.
            surrogates: their classifiers, loaded only if something is made with them.
        """
        if not parts:
            return Made(lambda: clean, clean.content_hash, {}, 0.0)
        resources = resources or Resources(device=self.device)
        parts = [replace(part, settings=self.settle(part.settings)) for part in parts]
        name = "+".join(part.attack for part in parts)
        described = {part.attack: part.describe() for part in parts}
        asked = {"attack": name, "seed": seed, **(described if len(parts) > 1 else described[name])}
        asked.update(own_facts(attack=described, classifier=[made.settings["model"] for made in surrogates]))
        asked.update({f"{used} of": found["hash"] for used, found in sets_used(resources).items()})
        if surrogates:
            asked["surrogates"] = [made.digest for made in surrogates]

        def make(path: Path) -> None:
            with self.bar(f"poison {name}", "step") as on_step:
                about = replace(resources, surrogates=[made.value for made in surrogates], on_step=on_step)
                result = poison_mixture(clean, parts, seed=seed, resources=about)
            write_poisoned(result, clean, path)

        return self._set(asked, clean.content_hash, make)

    def purify(
        self,
        defence: Defence,
        models: Mapping[str, Made[Path]],
        source: Made[ImageSet],
        seed: int,
        *,
        base: Made[ImageSet] | None = None,
    ) -> Made[ImageSet]:
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
            return Made(source.get, source.digest, {}, 0.0)
        fitted = {model_field(defence, field): str(model.value) for field, model in models.items()}
        settings = purifier_settings(defence.purify, overrides={**defence.set, **fitted})
        run = PurifyRun({name: self.settle(link) for name, link in settings.items()}, seed=seed)
        asked = {"method": run.method, "seed": seed, **run.describe(), **own_facts(purifier=run.settings)}
        if found := self._weights_not_from(models, run):  # other weights may come under the same name
            asked["weights"] = found

        def make(path: Path) -> None:
            shared = base and can_share(source.value, base.value, run)
            purified = self.purify(defence, models, base, seed) if base and shared else None
            with self.bar(f"purify {run.method}", "img") as on_step:
                about: dict[str, Any] = {"device": self.device, "on_step": on_step}
                if base and purified:
                    purify_changed(source.value, path, run, base=base.value, purified=purified.value, **about)
                else:
                    purify_to(source.value, path, run, **about)

        return self._set(asked, source.digest, make)

    def _set(self, asked: dict[str, Any], source: str, make: Callable[[Path], None]) -> Made[ImageSet]:
        path = self.folder / "sets" / f"{hash_json([source, asked])[:16]}.npz"

        def make_anew() -> None:
            if path.exists():
                write_line(f"unpoison: {path} is damaged or was changed, and is made again")
                path.unlink()
            make(path)

        seconds = self._ensure(path, partial(_told_hash, path), make_anew)
        return Made(partial(self._read, path, make_anew), self._digests[path], asked, seconds, manifest_path(path))

    def _read(self, path: Path, make_anew: Callable[[], None]) -> ImageSet:
        """A set of the folder, made again if it is not the one that its manifest tells of.

        Its pixels are looked at here, once they are needed: a trial that has its record needs the manifest alone.
        """
        if path not in self._held:
            found = self._whole(path)
            if found is None:
                with self.claim(_claim_of(path)):
                    make_anew()
                found = self._whole(path)
            if found is None:
                raise RunError(f"{path} came out other than before; delete {self.folder} and run the suite again")
            self._held[path] = found
            if len(self._held) > _HELD_SETS:  # several cells in a row need the same ones
                del self._held[next(iter(self._held))]
        return self._held[path]

    def _whole(self, path: Path) -> ImageSet | None:
        """A set with the content that this run takes it to have; None if it is another, or damaged."""
        try:
            found = read(path)
            return found if found.content_hash == self._digests[path] else None
        except DataError:
            return None

    def _ensure(self, path: Path, find: Callable[[], str | None], make: Callable[[], None]) -> float:
        """Make a thing unless it is there; the seconds that took. Looked for once in a run, and trusted from then on.

        Args:
            path: where it lies.
            find: gives its digest, None if it is not there whole.
            make: puts it there.
        """
        if path not in self._digests and (digest := find()) is not None:
            self._digests[path] = digest
        if path in self._digests:
            return 0.0
        seconds = 0.0
        with self.claim(_claim_of(path)):
            digest = find()  # another process may have made it meanwhile
            if digest is None:
                started = time.perf_counter()
                make()
                seconds = time.perf_counter() - started
                digest = find()
            if digest is None:
                raise RunError(f"{path} is gone as soon as it was made; is another program clearing {self.folder}?")
            self._digests[path] = digest
        return seconds

    def _weights_not_from(self, models: Mapping[str, Made[Path]], run: PurifyRun) -> str:
        """Hashes of the weight files of a run that the suite has not fitted itself, in order."""
        own = {str(model.value) for model in models.values()}
        # `model` before `energy`, as in the trials on record, whose names are hashed from this
        files = [sorted(settings.named_files().items(), reverse=True) for settings in run.settings.values()]
        named = [name for fields in files for _, name in fields if name not in own]
        for name in named:
            if name not in self._weights:
                self._weights[name] = hash_file(weights_path(name))
        return ",".join(self._weights[name] for name in named)

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


def _told_hash(path: Path) -> str | None:
    """Content hash of a set by its manifest; None if one of the two is missing."""
    try:
        return read_manifest(manifest_path(path)).steps[-1].result if path.exists() else None
    except DataError:
        return None


def _claim_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"

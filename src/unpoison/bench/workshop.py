"""The workshop of a suite: it fits, trains, poisons and purifies what trials need, each thing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cache import Cache, Made
from unpoison.bench.checking import fit_settings, model_field
from unpoison.bench.own import own_facts
from unpoison.bench.sections import ClassifierFit, Defence, Model
from unpoison.bench.sharing import can_share, purify_changed
from unpoison.classify.classifier import Classifier
from unpoison.classify.saving import WEIGHTS, hash_classifier, load_classifier, save_classifier
from unpoison.classify.settings import scratch_settings
from unpoison.classify.training import train
from unpoison.core.hashing import hash_file, hash_json
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep
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


class Bar(Protocol):
    """Makes a progress bar from what is being done, the word for a step, and whether it is a trial's own training."""

    def __call__(self, label: str, unit: str, *, is_trial: bool = False) -> AbstractContextManager[OnStep]: ...


class Workshop:
    """Makes what trials need and keeps it in a cache.

    Args:
        cache: where it is kept.
        device: where to compute.
        bar: makes progress bars.
        arithmetic: of the networks.
    """

    def __init__(self, cache: Cache, *, device: str, bar: Bar, arithmetic: Arithmetic):
        self.cache, self.device, self.bar, self.arithmetic = cache, device, bar, arithmetic
        self._weights: dict[str, str] = {}  # hashes of weight files that purifiers name

    def fit(self, model: Model, clean: ImageSet) -> Made[Path]:
        """Fit a network; an interrupted fit goes on from its checkpoint."""
        settings = self.arithmetic.settle(fit_settings(model))
        asked = {**settings.model_dump(mode="json"), "seed": model.seed}
        path = self.cache.folder / "models" / f"{hash_json([clean.content_hash, asked])[:16]}.safetensors"

        def make() -> None:
            with self.bar(f"fit {model.kind}", "it") as on_step:
                about: dict[str, Any] = {"seed": model.seed, "device": self.device, "on_step": on_step}
                if isinstance(settings, EnergySettings):
                    fit_energy(clean, out=path, settings=settings, **about)
                else:
                    fit(clean, out=path, settings=settings, **about)

        digest, seconds = self.cache.ensure(path, lambda: hash_file(path) if path.exists() else None, make)
        return Made(lambda: path, digest, {**asked, "images": len(clean)}, seconds)

    def train(self, fitted: ClassifierFit, train_set: ImageSet, test_set: ImageSet) -> Made[Classifier]:
        """Train a classifier of the suite."""
        settings = self.arithmetic.settle(scratch_settings(profiles=fitted.profile, overrides=fitted.set))
        asked = {"model": fitted.model, **settings.model_dump(mode="json"), "seed": fitted.seed}
        asked.update(own_facts(classifier=[fitted.model]))
        path = self.cache.folder / "classifiers" / hash_json([train_set.content_hash, asked])[:16]

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

        digest, seconds = self.cache.ensure(path, find, make)
        # Loaded anew for each use: nobody need care what another did to his copy.
        return Made(partial(load_classifier, path), digest, {**asked, "images": len(train_set)}, seconds)

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
        parts = [replace(part, settings=self.arithmetic.settle(part.settings)) for part in parts]
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

        return self.cache.make_set(asked, clean.content_hash, make)

    def purify(
        self,
        defence: Defence,
        models: Mapping[str, Made[Path]],
        source: Made[ImageSet],
        seed: int,
        *,
        base: Made[ImageSet] | None = None,
    ) -> Made[ImageSet]:
        """Purify a set, or give it back, if it is not purified or not before it is trained on.

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
        run = self.order(defence, models, seed)
        asked = {"method": run.method, "seed": seed, **run.describe(), **own_facts(purifier=run.settings)}
        if found := self._weights_not_from(models, run):  # other weights may come under the same name
            asked["weights"] = found
        if defence.draws is not None:
            return Made(source.get, source.digest, {**asked, "draws": defence.draws}, 0.0)

        def make(path: Path) -> None:
            shared = base and can_share(source.value, base.value, run)
            purified = self.purify(defence, models, base, seed) if base and shared else None
            with self.bar(f"purify {run.method}", "img") as on_step:
                about: dict[str, Any] = {"device": self.device, "on_step": on_step}
                if base and purified:
                    purify_changed(source.value, path, run, base=base.value, purified=purified.value, **about)
                else:
                    purify_to(source.value, path, run, **about)

        return self.cache.make_set(asked, source.digest, make)

    def order(self, defence: Defence, models: Mapping[str, Made[Path]], seed: int) -> PurifyRun:
        """The purification of a defence that has one; as for `purify`."""
        fitted = {model_field(defence, field): str(model.value) for field, model in models.items()}
        settings = purifier_settings(defence.purify, overrides={**defence.set, **fitted})
        return PurifyRun({name: self.arithmetic.settle(link) for name, link in settings.items()}, seed=seed)

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

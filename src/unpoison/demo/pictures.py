"""The pictures of a demo: one digit of each class on its way through poisoning and purification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unpoison.bench.cache import Made
from unpoison.bench.sections import Defence
from unpoison.bench.suite import Suite
from unpoison.bench.workshop import Workshop
from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.demo.methods import POISONED, PURIFIED
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.reporting.pages import Strip
from unpoison.reporting.pictures import amplify_difference, tile_row
from unpoison.runs.run import PurifyRun
from unpoison.studies.ladder import watch

_AMPLIFY = 2.0
_ZOOM = 4


def draw_pictures(suite: Suite, workshop: Workshop) -> list[Strip]:
    """Rows of pictures: clean, poisoned, on the way, purified, and the differences.

    Args:
        suite: of the demo; it was run.
        workshop: of that run.
    """
    attack, defence, seed = suite.attacks[POISONED], suite.defences[PURIFIED], suite.seeds[0]
    clean = suite.read_set("train", None)
    fits = {field: suite.models[name] for field, name in defence.models().items()}
    models = {field: workshop.fit(fit, suite.read_set(fit.fit, None)) for field, fit in fits.items()}
    poisoned = workshop.poison(attack.parts({}), clean, seed)
    purified = workshop.purify(defence, models, poisoned, seed)
    rows = [int(np.flatnonzero(clean.labels == label)[0]) for label in range(len(clean.class_names))]
    before = clean.subset(rows).array()
    bad = poisoned.value.subset(rows)
    after = purified.value.subset(rows).array()
    chain = fits["model"].kind == "energy"
    return [
        Strip("As they were", tile_row(before, zoom=_ZOOM)),
        Strip(
            f"Poisoned: each class carries a colour pattern of its own, {attack.set['epsilon']} (rms)",
            tile_row(bad.array(), zoom=_ZOOM),
        ),
        Strip(
            f"What the poison added, {_AMPLIFY:g} times",
            tile_row(amplify_difference(bad.array(), before, factor=_AMPLIFY), zoom=_ZOOM),
        ),
        _on_the_way(bad, defence, models, seed, workshop.device, chain=chain),
        Strip("Purified", tile_row(after, zoom=_ZOOM)),
        Strip(
            f"What is left between purified and clean, {_AMPLIFY:g} times",
            tile_row(amplify_difference(after, before, factor=_AMPLIFY), zoom=_ZOOM),
        ),
    ]


def _on_the_way(
    bad: ImageSet, defence: Defence, models: Mapping[str, Made[Path]], seed: int, device: str, *, chain: bool
) -> Strip:
    """The pictures after a tenth of their Langevin steps, or else with the noise that the network takes away again."""
    settings = purifier_settings(defence.purify, overrides={**defence.set, **_paths(models)})
    run, place = PurifyRun(settings, seed=seed), choose_device(device)
    if chain:
        steps = defence.set["steps"] // 10
        caption = f"After {steps} of {defence.set['steps']} steps"
    else:
        sigma_255 = build_purifier(settings, device=place).strength_255
        steps, caption = 0, f"With the noise that purification adds, sigma {sigma_255:.0f}/255"
    (pictures,) = watch(bad, run, [steps], device=place)
    return Strip(caption, tile_row(pictures, zoom=_ZOOM))


def _paths(models: Mapping[str, Made[Path]]) -> dict[str, str]:
    return {field: str(model.value) for field, model in models.items()}

"""`unpoison.train`: a classifier trained from scratch, its pictures purified anew in every epoch if that is asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from unpoison.classify import training
from unpoison.classify.loop import OnEpoch, TrainedClassifier
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import Perturb
from unpoison.core.errors import SettingsError
from unpoison.core.progress import OnStep, shows_bar
from unpoison.data import read
from unpoison.public.transform import Purify
from unpoison.runs.arguments import method_settings
from unpoison.runs.fresh import FreshDraws
from unpoison.runs.photographs import warn_if_strange
from unpoison.runs.run import PurifyRun

log = logging.getLogger(__name__)


@shows_bar("train", unit="step")
def train(
    train_set: Any,
    *,
    test_set: Any,
    model: str = "resnet18",
    purify: str | Purify | None = None,
    draws: int = 0,
    seed: int | None = None,
    device: str = "auto",
    profile: str = "",
    settings: TrainSettings | None = None,
    perturb: Perturb | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    **fields: Any,
) -> TrainedClassifier:
    """Train a classifier from scratch, and test it.

    `train("untrusted/", test_set="held_out/", purify=Purify())` trains on what nobody vouches for.

    The same seed gives the same weights, bit for bit, on the same kind of machine.

    Args:
        train_set: pictures of one size, every class present; a set, or what `read` reads.
        test_set: pictures of the same size and classes; alike. They are never purified.
        model: name of an architecture in `classify.methods`.
        purify: purify every stored picture anew in every epoch, before it is cropped and mirrored: a purifier, several
            joined by `+`, or a `Purify`, for settings and a seed of its own. A draw of the noise that a perturbation
            survives is then no constant to learn.
        draws: take so many draws in turn, kept in memory, in place of another one in every epoch.
        seed: of weights, order and augmentation, each with a stream of its own, and of the noise of `purify`. If left
            out, 0; and the noise is drawn from the system, so that nobody can have aimed a poison at it.
        device: `auto`, `cpu`, `cuda`, ...
        profile: names of profiles, or TOML files, joined by commas; `fast` if left out, `airbench` for its net.
        settings: an object of settings, in place of profile and fields.
        perturb: changes each augmented batch just before the net learns from it, as adversarial training does.
        on_epoch: called after each epoch with its number and the net, which it must not change.
        on_step: called after each step with its loss, and while pictures are purified.
        **fields: of the settings, e.g. `epochs=30`; see `TrainSettings`.

    Returns:
        The net with its history and its predictions on the test set; `purified` keeps the seed of the noise.

    Raises:
        SettingsError: the sets cannot be trained or tested on, there is no such architecture or purifier, or the
            purifier looks at the whole set first.
        RunError: the loss left the finite numbers.
    """
    chosen = training.asked_settings(model, profile=profile, settings=settings, fields=fields)
    train_set, test_set = read(train_set), read(test_set)
    redraw = None
    if purify is not None:
        run = purify.run if isinstance(purify, Purify) else PurifyRun.seeded(method_settings(purify, fields={}), seed)
        warn_if_strange(train_set, run.settings)
        redraw = FreshDraws(train_set, run, epochs=chosen.epochs, draws=draws, device=device, say=log.info)
    elif draws:
        raise SettingsError("draws= is about purify=: give both or neither")
    trained = training.train(
        train_set,
        test_set=test_set,
        model=model,
        seed=seed or 0,
        device=device,
        settings=chosen,
        perturb=perturb,
        redraw=redraw,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    return replace(trained, purified=redraw.describe()) if redraw else trained

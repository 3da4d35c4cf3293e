"""Fitting an energy model to images, by persistent contrastive divergence."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.progress import OnStep, StepInfo, shows_bar
from unpoison.core.settings import build_settings, called_settings
from unpoison.data import read
from unpoison.fitting.blow_ups import Figures, Rollback
from unpoison.fitting.charts import can_plot
from unpoison.fitting.checkpoints import checkpoint_path, load_checkpoint, save_checkpoint
from unpoison.fitting.contrastive import EnergyRun
from unpoison.fitting.energy_plots import plot_bank, plot_energies
from unpoison.fitting.records import check_output, fingerprint, identify, settle_precision, thin_curve, write_fit
from unpoison.fitting.settings import EnergySettings
from unpoison.nets.pixel_energy import PixelEnergy

_SHOWN = 64  # images of the bank in the picture

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnergyFit:
    """What the fit of an energy model came to.

    Args:
        path: weights file.
        model: the same, ready to use, on the device it was fitted on.
        trace: figures of every update, without those that a rollback took back.
        rollbacks: returns to an earlier state.
        seconds: time of the updates; of a fit that went on, only of those since.
        updates_per_second: over that time, with those that a rollback took back.
    """

    path: Path
    model: PixelEnergy
    trace: list[Figures]
    rollbacks: list[Rollback]
    seconds: float
    updates_per_second: float


@shows_bar("fit")
def fit_energy(
    image_set: Any,
    *,
    out: str | PathLike[str],
    seed: int = 0,
    device: str = "auto",
    profile: str = "",
    settings: EnergySettings | None = None,
    on_step: OnStep | None = None,
    **fields: Any,
) -> EnergyFit:
    """Fit an energy model and write its weights: `fit_energy("public/", out="mine.safetensors", profile="ebm-small")`.

    Each update lowers the energy of data and raises that of images which Langevin dynamics reaches by itself:
        x+    = data + data_noise z
        x-    = langevin(chains of the bank, some of them started again at x+); back into the bank
        loss  = (mean E(x+) - mean E(x-)) / temperature
    The training is known to diverge now and then. Energy gap and gradient norm are watched; on a blow-up the fit goes
    back to a state before it, with half the learning rate, and says so.

    Beside the weights `X.safetensors` lie, while it runs, `X.safetensors.checkpoint`, from which the same call goes on;
    and in the end a record `X.fit.json` and the pictures `X.energies.png` and `X.bank.png`. The same seed gives the
    same weights, however often it was interrupted, on the same kind of machine and number of threads.

    Args:
        image_set: images of one size; clean ones, or poisoned ones to learn what that does to the defence (Table 3 of
            the paper). A set, or what `read` reads.
        out: weights file to write, `.safetensors`.
        seed: of weights, order, augmentation, bank and noise.
        device: `auto`, `cpu`, `cuda`, ...; one of them.
        profile: names of profiles, or TOML files, joined by commas; the paper's settings if left out.
        settings: an object of settings, in place of profile and fields.
        on_step: called after each update with energy gap and gradient norm; goes back where the fit does.
        **fields: of the settings, e.g. `iterations=2000`; see `EnergySettings`.

    Returns:
        The model and its file, figures of every update, rollbacks, and speed.

    Raises:
        SettingsError: the images, or the network's arguments, cannot be used; or several processes were started.
        RunError: the checkpoint beside `out` is damaged or belongs to another fit; or the fit diverges again and again.

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
        Tieleman, Training restricted Boltzmann machines using approximations to the likelihood gradient, 2008,
        https://doi.org/10.1145/1390156.1390290
    """
    build = partial(build_settings, EnergySettings, room="unpoison.fitting", of="fit ebm")
    settings, out = called_settings(settings, build, profile=profile, fields=fields), Path(out)
    check_output(out)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError("an energy model is fitted on one device; start it without torchrun")
    image_set = read(image_set)
    chosen = choose_device(device)
    settings = settle_precision(settings, out, image_set, seed, chosen)
    run = EnergyRun(image_set, settings=settings, seed=seed, device=chosen)
    identity = identify(image_set, settings, seed)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):  # else a GPU adds gradients in any order
        seconds, updates = _train(run, out, fingerprint(identity), on_step)
    model, speed = run.model(), updates / seconds if updates else 0.0
    facts = {
        "seconds": round(seconds, 2),
        "updates_per_second": round(speed, 3),
        "curves": curves(run.trace),
        "rollbacks": [asdict(rollback) for rollback in run.rollbacks],
    }
    write_fit(out, model, settings, identity=identity, device=run.device, facts=facts)
    _draw(run, out)
    checkpoint_path(out).unlink(missing_ok=True)
    return EnergyFit(out, model, run.trace, run.rollbacks, seconds, speed)


def _train(run: EnergyRun, out: Path, fingerprint: str, on_step: OnStep | None) -> tuple[float, int]:
    """Do the updates that are left; returns their seconds and number."""
    settings, path = run.settings, checkpoint_path(out)
    state = load_checkpoint(path, fields=run.state(), fingerprint=fingerprint)
    if state is not None:
        run.restore(state)
        log.info("going on from update %d of %d", run.done, settings.iterations)
    updates, started = 0, time.perf_counter()
    while run.done < settings.iterations:
        figures = run.step()
        updates += 1
        rollback = run.guard()
        if rollback:
            rate = run.learning_rate(run.done)
            log.warning(f"update {rollback.at}: {rollback.why}; going back to {rollback.to}, learning rate {rate:.3g}")
        if settings.checkpoint_every and run.done % settings.checkpoint_every == 0:
            save_checkpoint(path, run.state(), fingerprint=fingerprint)
            _draw(run, out)
        if on_step:
            values = {"gap": figures.gap / settings.temperature, "gradient": figures.gradient}
            on_step(StepInfo(run.done, settings.iterations, values))
    return time.perf_counter() - started, updates


def _draw(run: EnergyRun, out: Path) -> None:
    if not (run.settings.plots and run.trace and can_plot()):
        return
    drawn = curves(run.trace)
    gradient = drawn.pop("gradient")
    plot_energies(out.with_suffix(".energies.png"), drawn, gradient, run.rollbacks)
    plot_bank(out.with_suffix(".bank.png"), run.bank.images[:_SHOWN])


def curves(trace: list[Figures]) -> dict[str, list[tuple[int, float]]]:
    """The figures over time, each in at most 500 points, as `thin_curve` makes them."""
    columns = zip(*trace, strict=True)
    return {name: thin_curve(column) for name, column in zip(Figures._fields, columns, strict=True)}

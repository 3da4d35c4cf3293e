"""Fitting a network to clean images."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, StepInfo, shows_bar
from unpoison.core.settings import build_settings, called_settings
from unpoison.core.suggestions import suggest
from unpoison.data import read
from unpoison.fitting.charts import can_plot
from unpoison.fitting.checkpoints import checkpoint_path, load_checkpoint, save_checkpoint
from unpoison.fitting.inspecting import DenoisingError, measure_denoising
from unpoison.fitting.plots import plot_denoising, plot_losses
from unpoison.fitting.processes import join_processes
from unpoison.fitting.ranges import measure_own_ranges
from unpoison.fitting.records import check_output, fingerprint, identify, settle_precision, thin_curve, write_fit
from unpoison.fitting.running import FitRun
from unpoison.fitting.settings import DenoiserSettings, FitSettings, OptimiserSettings
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.ranges import write_ranges
from unpoison.nets.weights import DiffusionModel

log = logging.getLogger(__name__)

_KINDS: dict[str, type[OptimiserSettings]] = {"diffusion": FitSettings, "denoiser": DenoiserSettings}


@dataclass(frozen=True)
class FitResult:
    """What a fit came to.

    Args:
        path: weights file, the moving average.
        model: the same, ready to use, on the device it was fitted on.
        losses: loss of every step.
        seconds: time of the steps; of a fit that went on, only of those since.
        images_per_second: images trained on, over that time.
        errors: denoising error on the held-out images, by noise; empty without them.
    """

    path: Path
    model: DiffusionModel
    losses: list[float]
    seconds: float
    images_per_second: float
    errors: list[DenoisingError]


@shows_bar("fit")
def fit(
    image_set: Any,
    kind: str = "diffusion",
    *,
    out: str | PathLike[str],
    seed: int = 0,
    device: str = "auto",
    held_out: Any = None,
    profile: str = "",
    settings: OptimiserSettings | None = None,
    on_step: OnStep | None = None,
    **fields: Any,
) -> FitResult:
    """Fit a diffusion model or a denoiser and write its weights: `fit("clean/", "denoiser", out="mine.safetensors")`.

    Beside the weights `X.safetensors` lie, while it runs, `X.safetensors.checkpoint`, from which the same call goes
    on; and in the end a record `X.fit.json`, the pictures `X.loss.png` and `X.denoised.png`, and for a denoiser of the
    architecture pocket `X.int8.json`, by which CPUs compute with it in whole numbers. The same seed gives the same
    weights, however often it was interrupted, on the same kind of machine. Under torchrun the processes share each
    batch.

    Args:
        image_set: clean images, for a diffusion model of one size; a set, or what `read` reads.
        kind: `diffusion`, or `denoiser` for one like that in the package.
        out: weights file to write, `.safetensors`.
        seed: of weights, order, augmentation and noise.
        device: `auto`, `cpu`, `cuda`, ...
        held_out: further images, alike, not fitted to, to measure the denoising on.
        profile: names of profiles, or TOML files, joined by commas.
        settings: `FitSettings` or `DenoiserSettings`, in place of kind, profile and fields.
        on_step: called after each step with its loss.
        **fields: of the settings, e.g. `iterations=2000`; see `FitSettings` and `DenoiserSettings`.

    Returns:
        The model and its file, the loss of every step, speed, and errors.

    Raises:
        SettingsError: the images, or the network's arguments, cannot be used.
        RunError: the checkpoint beside `out` is damaged, belongs to another fit, or is not there for all processes.
    """
    if kind not in _KINDS:
        raise SettingsError(f"there is no fit '{kind}'{suggest(kind, list(_KINDS))}")
    build = partial(build_settings, _KINDS[kind], room="unpoison.fitting", of=f"fit {kind}")
    settings, out = called_settings(settings, build, profile=profile, fields=fields), Path(out)
    check_output(out)
    image_set = read(image_set)
    shown = image_set if held_out is None else read(held_out)
    with join_processes(device) as processes:
        settings = settle_precision(settings, out, image_set, seed, processes.device)
        run = FitRun(image_set, settings=settings, seed=seed, processes=processes)
        identity = identify(image_set, settings, seed)
        seconds, steps = _train(run, out, fingerprint(identity), shown, on_step)
        model = run.model()
        errors = measure_denoising(model, shown, processes.device) if held_out is not None else []
        speed = steps * settings.batch_size / seconds if steps else 0.0
        result = FitResult(out, model, run.losses, seconds, speed, errors)
        if processes.leads:
            facts = {
                "processes": processes.count,
                "seconds": round(seconds, 2),
                "images_per_second": round(speed, 1),
                "losses": thin_curve(run.losses),
                "held_out": [asdict(error) for error in errors],
            }
            write_fit(out, model, settings, identity=identity, device=processes.device, facts=facts)
            if isinstance(model, PreconditionedDenoiser) and isinstance(model.net, PocketUNet):
                log.info("measuring the ranges for precision int8")
                write_ranges(out, measure_own_ranges(model, run.objective.draw, processes.device))
            _draw(run, out, shown)
            checkpoint_path(out).unlink(missing_ok=True)
    return result


def _train(run: FitRun, out: Path, fingerprint: str, shown: ImageSet, on_step: OnStep | None) -> tuple[float, int]:
    """Do the steps that are left; returns their seconds and number."""
    settings, leads = run.settings, run.processes.leads
    path = checkpoint_path(out)
    state = load_checkpoint(path, fields=run.state(), fingerprint=fingerprint)
    if state is not None:
        run.restore(state)
        if leads:
            log.info("going on from step %d of %d", run.done, settings.iterations)
    if run.processes.average(torch.tensor(float(run.done), device=run.processes.device)) != run.done:
        raise RunError(f"not every process sees {path}; put the output where all of them can read it")
    start, started = run.done, time.perf_counter()
    while run.done < settings.iterations:
        loss = run.step()
        if leads and settings.checkpoint_every and run.done % settings.checkpoint_every == 0:
            save_checkpoint(path, run.state(), fingerprint=fingerprint)
            _draw(run, out, shown)
        if leads and on_step:
            on_step(StepInfo(run.done, settings.iterations, {"loss": loss}))
    return time.perf_counter() - started, run.done - start


def _draw(run: FitRun, out: Path, shown: ImageSet) -> None:
    if run.settings.plots and can_plot():
        plot_losses(out.with_suffix(".loss.png"), thin_curve(run.losses))
        plot_denoising(out.with_suffix(".denoised.png"), run.model(), shown, run.processes.device)

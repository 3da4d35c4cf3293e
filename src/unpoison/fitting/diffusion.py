"""Fitting a network to clean images."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from unpoison.core.device import describe_device, versions
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.files import write_json
from unpoison.core.hashing import hash_file, hash_json
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, StepInfo
from unpoison.fitting.checkpoints import checkpoint_path, load_checkpoint, save_checkpoint
from unpoison.fitting.inspecting import DenoisingError, measure_denoising
from unpoison.fitting.plots import can_plot, plot_denoising, plot_losses
from unpoison.fitting.processes import Processes, join_processes
from unpoison.fitting.running import STORED, FitRun
from unpoison.fitting.settings import FitSettings, OptimiserSettings
from unpoison.nets.weights import DiffusionModel, save_model

_CURVE_POINTS = 500
_CHANGE_NOTHING = ("checkpoint_every", "plots", "stored")  # a fit may go on with other values of these

log = logging.getLogger(__name__)


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


def fit(
    image_set: ImageSet,
    *,
    out: Path,
    settings: OptimiserSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    held_out: ImageSet | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Fit a diffusion model or a denoiser and write its weights.

    Beside the weights `X.safetensors` lie, while it runs, `X.safetensors.checkpoint`, from which the same call goes
    on; and in the end a record `X.fit.json` and the pictures `X.loss.png` and `X.denoised.png`. The same seed gives
    the same weights, however often it was interrupted, on the same kind of machine. Under torchrun the processes
    share each batch.

    Args:
        image_set: clean images of one size.
        out: weights file to write, `.safetensors`.
        settings: `FitSettings` or `DenoiserSettings`; the first with its defaults if left out.
        seed: of weights, order, augmentation and noise.
        device: `auto`, `cpu`, `cuda`, ...
        held_out: images of one size, not fitted to, to measure the denoising on.
        on_step: called after each step with its loss.

    Returns:
        The model and its file, the loss of every step, speed, and errors.

    Raises:
        SettingsError: the images, or the network's arguments, cannot be used.
        RunError: the checkpoint beside `out` is damaged, belongs to another fit, or is not there for all processes.
    """
    settings, out = settings or FitSettings(), Path(out)
    if out.suffix != ".safetensors":
        raise SettingsError(f"weights are written as .safetensors; choose such a name instead of '{out.name}'")
    shown = held_out or image_set
    with join_processes(device) as processes:
        run = FitRun(image_set, settings=settings, seed=seed, processes=processes)
        identity = _identity(image_set, settings, seed)
        seconds, steps = _train(run, out, identity, shown, on_step)
        model = run.model()
        errors = measure_denoising(model, held_out, processes.device) if held_out else []
        speed = steps * settings.batch_size / seconds if steps else 0.0
        result = FitResult(out, model, run.losses, seconds, speed, errors)
        if processes.leads:
            _write(result, settings, identity, processes)
            _draw(run, out, shown)
            checkpoint_path(out).unlink(missing_ok=True)
    return result


def _train(
    run: FitRun, out: Path, identity: dict[str, Any], shown: ImageSet, on_step: OnStep | None
) -> tuple[float, int]:
    """Do the steps that are left; returns their seconds and number."""
    settings, leads = run.settings, run.processes.leads
    path, fingerprint = checkpoint_path(out), _fingerprint(identity)
    state = load_checkpoint(path, fingerprint=fingerprint)
    if state is not None:
        run.restore(state)
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


def _identity(image_set: ImageSet, settings: OptimiserSettings, seed: int) -> dict[str, Any]:
    data = {"name": image_set.name, "images": len(image_set), "hash": image_set.content_hash}
    return {"settings": settings.model_dump(mode="json"), "seed": seed, "data": data}


def _fingerprint(identity: dict[str, Any]) -> str:
    settings = {name: value for name, value in identity["settings"].items() if name not in _CHANGE_NOTHING}
    return hash_json({"settings": settings, "seed": identity["seed"], "data": identity["data"]["hash"]})


def _write(result: FitResult, settings: OptimiserSettings, identity: dict[str, Any], processes: Processes) -> None:
    save_model(
        result.path,
        result.model,
        architecture=settings.architecture,
        arguments=settings.arguments,
        kind="ema" if settings.ema_decay else "raw",
        settings=identity,
        dtype=STORED[settings.stored],
    )
    record = {
        **identity,
        "weights": hash_file(result.path),
        "versions": versions(),
        "device": describe_device(processes.device),
        "processes": processes.count,
        "seconds": round(result.seconds, 2),
        "images_per_second": round(result.images_per_second, 1),
        "losses": thin_curve(result.losses),
        "held_out": [asdict(error) for error in result.errors],
    }
    write_json(result.path.with_suffix(".fit.json"), record)


def _draw(run: FitRun, out: Path, shown: ImageSet) -> None:
    if not run.settings.plots:
        return
    if not can_plot():
        log.info("no plots are drawn: matplotlib is missing; run  pip install 'unpoison[plots]'")
        return
    plot_losses(out.with_suffix(".loss.png"), thin_curve(run.losses))
    plot_denoising(out.with_suffix(".denoised.png"), run.model(), shown, run.processes.device)


def thin_curve(losses: Sequence[float], points: int = _CURVE_POINTS) -> list[tuple[int, float]]:
    """A long curve in few points: (step, mean since the point before).

    Example:
        >>> thin_curve([4.0, 2.0, 1.0], points=2)
        [(2, 3.0), (3, 1.0)]
    """
    width = -(-len(losses) // points) or 1
    ends = [min(start + width, len(losses)) for start in range(0, len(losses), width)]
    return [(end, sum(losses[start:end]) / (end - start)) for start, end in zip([0, *ends], ends, strict=False)]

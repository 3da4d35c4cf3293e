"""`unpoison fit`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_sources

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8
    from unpoison.fitting.settings import OptimiserSettings

S = TypeVar("S", bound="OptimiserSettings")


@click.group(cls=options.Group)
def fit() -> None:
    """Fit a network on clean images."""


_src = click.argument("src", shell_complete=completing.files)
_out = click.option("--out", type=options.PATH, required=True, help="Weights to write, .safetensors.")
_held_out = click.option(
    "--held-out",
    shell_complete=completing.files,
    help="A second clean set; the denoising error on it is measured at the end.",
)


def _sources(command: Callable[..., Any]) -> Callable[..., Any]:
    return options.together(_src, _out, _held_out, options.computing)(command)


@fit.command(epilog=options.examples("unpoison fit diffusion trusted/ --out net.safetensors"))
@_sources
def diffusion(**given: Any) -> None:
    """Fit a diffusion model on the clean set SRC, for `purify --method eclipse` or `--method puregen-ddpm`.

    \b
    Profiles for eclipse:
      compact         the default: a small network, fitted only where purification goes
      eclipse         the paper's, in full: days on a GPU
      digits          strong noise on pictures of 16x16, as in the demo
    Profiles for puregen-ddpm, which know the first 250 of 1,000 steps:
      ddpm250-small   the network of compact, for two cores
      ddpm250-s, ddpm250-m, ddpm250-l
                      the paper's sizes, trained as in the paper: for GPUs
      digits-ddpm250  for pictures of 16x16, as in the demo

    A fit that was stopped goes on when the same command is given again. Several devices: torchrun --nproc-per-node N
    -m unpoison fit diffusion ...
    """
    from unpoison.fitting.settings import FitSettings

    _fit(FitSettings, **given)


@fit.command(epilog=options.examples("unpoison fit denoiser clean/ --out mine.safetensors --held-out more/"))
@_sources
def denoiser(**given: Any) -> None:
    """Fit a denoiser like `pocket`, which comes with unpoison, on a clean set SRC of your own.

    Worth it for pictures unlike photographs; then `purify --model FILE`. Patches are cut from the pictures, which may
    be of any sizes. A fit that was stopped goes on when the same command is given again.

    \b
    Profiles:
      pocket          the default: removes noise
      pocket-taught   goes on from `pocket` and learns to remove perturbations of many kinds below the noise
    """
    from unpoison.fitting.settings import DenoiserSettings

    _fit(DenoiserSettings, **given)


@fit.command(epilog=options.examples("unpoison fit ebm public/ --out energy.safetensors --profile ebm-small"))
@options.together(_src, _out, options.computing)
def ebm(
    *,
    src: str,
    out: Path,
    seed: int,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fit an energy model on the set SRC, for `purify --method puregen-ebm` and, as energy=FILE, -naive, -reps, -filt.

    \b
    Profiles:
      ebm         the default: the paper's, in full; by estimate, a day or more on a GPU
      ebm-small   a quarter of the width, a fifth of the Langevin steps: about an hour on two cores
      digits-ebm  for pictures of 16x16, as in the demo

    Should the fit diverge, it goes back with a smaller learning rate and says so. A fit that was stopped goes on when
    the same command is given again. On one device only.
    """
    from unpoison.fitting.settings import EnergySettings

    settings = _settings(EnergySettings, profile, assignments, precision)
    if dry_run:
        _show(settings, seed, device)
        return

    from unpoison.core.progress import progress_bar, telling
    from unpoison.core.targets import check_file

    check_sources(src, input_format=input_format)
    check_file(out, example="net.safetensors")
    with telling(f"reading {src}"):
        from unpoison.data import read
        from unpoison.fitting.energy import fit_energy

        images = read(src, format=input_format)
    with progress_bar(f"fit {out.name}") as on_step:
        result = fit_energy(images, out=out, settings=settings, seed=seed, device=device, on_step=on_step)
    rollbacks = len(result.rollbacks)
    options.answer(
        as_json,
        f"{settings.architecture} fitted on {len(images)} images in {result.seconds:.0f} s, "
        f"{result.updates_per_second:.2f} updates/s, {rollbacks} rollbacks -> {out}",
        {"weights": str(out), "seconds": round(result.seconds, 1), "rollbacks": rollbacks},
    )


def _fit(
    settings_model: type[OptimiserSettings],
    *,
    src: str,
    out: Path,
    held_out: str | None,
    seed: int,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    settings = _settings(settings_model, profile, assignments, precision)
    if dry_run:
        _show(settings, seed, device)
        return

    from unpoison.core.progress import progress_bar, telling
    from unpoison.core.targets import check_file

    check_sources(src, held_out, input_format=input_format)
    check_file(out, example="net.safetensors")
    with telling(f"reading {src}"):
        import unpoison.fitting.diffusion as fitting
        from unpoison.data import read

        clean = read(src, format=input_format)
    with progress_bar(f"fit {out.name}") as on_step:
        result = fitting.fit(
            clean,
            out=out,
            settings=settings,
            seed=seed,
            device=device,
            held_out=read(held_out) if held_out else None,
            on_step=on_step,
        )
    if os.environ.get("RANK", "0") != "0":  # under torchrun one process speaks for all
        return
    options.answer(
        as_json,
        f"{settings.architecture} fitted on {len(clean)} images in {result.seconds:.0f} s, "
        f"{result.images_per_second:.0f} images/s -> {out}",
        {"weights": str(out), "seconds": round(result.seconds, 1), "loss": result.losses[-1]},
    )


def _show(settings: OptimiserSettings, seed: int, device: str) -> None:
    """Answer --dry-run."""
    from unpoison.core.device import choose_device
    from unpoison.core.precision import resolve

    described = resolve(settings, choose_device(device)).model_dump(mode="json")
    options.answer(True, "", {"seed": seed, "settings": described})


def _settings(
    settings_model: type[S], profile: str, assignments: tuple[str, ...], precision: PrecisionOrInt8 | None
) -> S:
    from unpoison.core.settings import build_settings, parse_assignments, with_precision

    settings = build_settings(
        settings_model,
        profiles=options.split_profiles(profile),
        room="unpoison.fitting",
        overrides=parse_assignments(assignments),
        of=f"fit {click.get_current_context().info_name}",
    )
    return with_precision(settings, precision)

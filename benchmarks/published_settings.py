"""What PureGen costs at its published sizes: every purifier on a few images, and the training steps of its models.

    python benchmarks/published_settings.py SOURCE --out results/puregen-published

SOURCE holds 256 pictures of 32x32, or more. All steps of a purifier are run, on few images; hours for 50,000 are
extrapolated from that. Weights are random, since the published ones could not be downloaded: the time does not depend
on their values. A record is named after its kind of device, and the table shows all that are there. Run it on an idle
machine.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from engine import seconds

from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.settings import Settings, build_settings
from unpoison.core.threads import available_cores
from unpoison.data import read
from unpoison.fitting.diffusion import fit
from unpoison.fitting.energy import fit_energy
from unpoison.fitting.settings import EnergySettings, FitSettings
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.puregen_unet import build_puregen_unet
from unpoison.nets.schedules import Schedule
from unpoison.nets.weights import save_model
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import Application
from unpoison.runs.run import PurifyRun

PURIFIERS = ("puregen-ebm", "puregen-ddpm", "puregen-naive", "puregen-reps", "puregen-filt")
WHOLE = 50_000  # images of the training set that the paper purifies
NEEDED = 256  # of the source
FULL_CALL = {"images": 64, "t": 3}  # what a run puts into a network call; so many steps show what such a call costs


@click.command()
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the record and table.md.")
@click.option("--images", default=4, show_default=True, help="Of a call, for purifiers with the diffusion model.")
@click.option("--energy-images", default=32, show_default=True, help="Of a call, for puregen-ebm.")
@click.option("--updates", default=2, show_default=True, help="Of each training.")
@click.option("--diffusion-batch", default=32, show_default=True, help="Images of an update of the diffusion model.")
@click.option("--width", default=128, show_default=True, help="Of the energy model; smaller to try the program out.")
@click.option("--channels", default=128, show_default=True, help="Of the diffusion model; likewise.")
@click.option("--device", default="auto", show_default=True)
def main(
    source: str,
    out: Path,
    images: int,
    energy_images: int,
    updates: int,
    diffusion_batch: int,
    width: int,
    channels: int,
    device: str,
) -> None:
    """Time purifiers and training steps on pictures of SOURCE, write a record and a table."""
    place = choose_device(device)
    pictures = read(source).subset(range(NEEDED))
    torch.set_num_threads(available_cores())
    record: dict[str, Any] = {
        "data": {"name": pictures.name, "images": len(pictures), "hash": pictures.content_hash},
        "weights": "random; the published ones could not be downloaded, and the time does not depend on the values",
        "cores": available_cores(),
        "versions": versions(),
        "device": describe_device(place),
    }
    with tempfile.TemporaryDirectory() as folder:
        files, record["parameters"] = random_models(Path(folder), width, channels)
        time_purifier("puregen-naive", files, pictures, images, place, langevin_steps=1, t=1)  # to warm up
        record["purifiers"] = {
            method: time_purifier(method, files, pictures, energy_images if method == "puregen-ebm" else images, place)
            for method in PURIFIERS
        }
        record["full_call"] = time_purifier(
            "puregen-ddpm", files, pictures, FULL_CALL["images"], place, t=FULL_CALL["t"]
        )
        ebm = profile(EnergySettings, "ebm", arguments={"width": width})
        ddpm = profile(FitSettings, "ddpm250-l", arguments={"channels": channels})
        record["fits"] = {
            "ebm": time_updates(fit_energy, ebm, ebm.batch_size, updates, pictures, Path(folder), place),
            "ddpm250-l": time_updates(fit, ddpm, diffusion_batch, updates + 1, pictures, Path(folder), place),
        }
    write_json(out / f"{place.type}.json", record)
    text = "\n".join(table(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(out.glob("*.json")))
    write_text(out / "table.md", text)
    click.echo(text)


def random_models(folder: Path, width: int, channels: int) -> tuple[dict[str, str], dict[str, int]]:
    """Weight files of both models, by the field of the settings that names them, and their parameters."""
    energy = PixelEnergy(SnganEnergy(width))
    unet = build_puregen_unet(channels=channels)
    diffusion = EpsilonModel(unet, schedule=Schedule("linear", 1000), max_index=249, learned_variance=False)
    files = {"energy": str(folder / "energy.safetensors"), "model": str(folder / "diffusion.safetensors")}
    about: dict[str, Any] = {"kind": "raw", "settings": {}}
    save_model(Path(files["energy"]), energy, architecture="sngan-energy", arguments={"width": width}, **about)
    save_model(Path(files["model"]), diffusion, architecture="puregen-unet", arguments={"channels": channels}, **about)
    return files, {"energy": count_parameters(energy), "model": count_parameters(diffusion)}


def count_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def time_purifier(
    method: str, files: dict[str, str], pictures: ImageSet, count: int, place: torch.device, **overrides: int
) -> dict[str, Any]:
    """Purify as any run does, with `count` images in a call; loading is not counted."""
    named = {"model": files["energy"]} if method == "puregen-ebm" else {"model": files["model"]}
    if method not in ("puregen-ebm", "puregen-ddpm"):
        named["energy"] = files["energy"]
    run = PurifyRun(purifier_settings(method, overrides={**named, **overrides}), microbatch=count)
    application = Application(run, device=place)
    # The same images for every core, so that all have the same work; Filt takes as many from each.
    image_set = repeat(pictures, count, available_cores() if place.type == "cpu" else 1)
    _ = application.purifier  # loads the weights
    taken = seconds(lambda: application.purify_set(image_set), place)
    return {
        "settings": run.describe(),
        "images": len(image_set),
        "seconds": round(taken, 3),
        "seconds_per_image": round(taken / len(image_set), 5),
        "hours_for_50000_extrapolated": round(WHOLE * taken / len(image_set) / 3600, 2),
    }


def repeat(pictures: ImageSet, count: int, times: int) -> ArrayImageSet:
    """The first pictures, several times one after the other."""
    array = np.tile(pictures.subset(range(count)).array(), (times, 1, 1, 1))
    return ArrayImageSet(array, np.full(len(array), -1), name=pictures.name)


def profile(kind: type[Settings], name: str, **overrides: Any) -> Any:
    """The settings of a fit's profile, without what it does beside the updates."""
    beside = {"checkpoint_every": 0, "plots": False}
    return build_settings(kind, profiles=[name], room="unpoison.fitting", overrides={**beside, **overrides})


def time_updates(
    train: Callable[..., Any],
    published: Any,
    batch: int,
    updates: int,
    pictures: ImageSet,
    folder: Path,
    place: torch.device,
) -> dict[str, Any]:
    """Fit for a few updates; the median counts. The whole fit is extrapolated by its number of images."""
    settings = published.model_copy(update={"iterations": updates, "batch_size": batch})
    stamps: list[float] = []
    fitted = train(
        pictures,
        out=folder / "fit.safetensors",
        settings=settings,
        device=str(place),
        on_step=lambda _: stamps.append(time.perf_counter()),
    )
    later = np.diff(stamps)
    taken = [fitted.seconds - later.sum(), *later]
    median = statistics.median(taken)
    return {
        "settings": settings.model_dump(mode="json"),
        "seconds": [round(float(one), 3) for one in taken],
        "seconds_an_update": round(float(median), 3),
        "published": {"iterations": published.iterations, "batch_size": published.batch_size},
        "days_for_all_estimated": round(
            float(median) / batch * published.iterations * published.batch_size / 86_400, 2
        ),
    }


def table(record: dict[str, Any]) -> str:
    """Purifiers, then fits, of one record."""
    lines = [
        f"| purifier | settings | images | seconds | seconds/image | hours for {WHOLE:,}, extrapolated |",
        "|---|---|---|---|---|---|",
    ]
    for method, entry in record["purifiers"].items():
        lines.append(
            f"| {method} | {counts(entry['settings'][method])} | {entry['images']} | {entry['seconds']:.1f} "
            f"| {entry['seconds_per_image']:.3g} | {entry['hours_for_50000_extrapolated']:,.1f} |"
        )
    lines += [
        "",
        "| fit | batch | updates | seconds/update | published: updates of a batch | days for all, estimated |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in record["fits"].items():
        whole, batch = entry["published"], entry["settings"]["batch_size"]
        lines.append(
            f"| {name} | {batch} | {len(entry['seconds'])} | {entry['seconds_an_update']:.2f} "
            f"| {whole['iterations']:,} of {whole['batch_size']} | {entry['days_for_all_estimated']:,.1f} |"
        )
    parameters, full, ddpm = record["parameters"], record["full_call"], record["purifiers"]["puregen-ddpm"]
    small_calls = ddpm["seconds_per_image"] / ddpm["settings"]["puregen-ddpm"]["t"]
    full_calls = full["seconds_per_image"] / full["settings"]["puregen-ddpm"]["t"]
    calls = {name: entry["settings"]["microbatch"] for name, entry in record["purifiers"].items()}
    note = (
        f"An energy model of {parameters['energy']:,} parameters, a diffusion model of {parameters['model']:,}. The "
        "weights are random: the published ones could not be downloaded, and the time does not depend on their values. "
        f"Every purifier ran all its steps, bf16, in calls of {calls['puregen-ddpm']} images "
        f"(puregen-ebm: {calls['puregen-ebm']}); loading is not counted. Fits are in fp32. {record['device']}, "
        f"{record['cores']} cores.\n\n"
        f"A large set goes in calls of {full['settings']['microbatch']}. With so many, a call of the diffusion model "
        f"took {1000 * full_calls:.3g} ms an image, in calls as here {1000 * small_calls:.3g}: over a large set, "
        f"estimate {full_calls / small_calls:.2f} times the hours of the purifiers that use it. The days of a fit "
        "count every image alike; the optimiser works once an update, so that with a larger batch it takes less."
    )
    return "\n".join([*lines, "", note]) + "\n"


def counts(settings: dict[str, Any]) -> str:
    """The settings that a row is about: all but files and precision, as far as they are used."""
    left = {name: value for name, value in settings.items() if name not in ("model", "energy", "precision")}
    return ", ".join(f"{name} {value}" for name, value in left.items() if value is not None and value is not False)


if __name__ == "__main__":
    main()

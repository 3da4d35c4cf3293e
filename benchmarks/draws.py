"""What more draws of the noise are worth: accuracy against how many a training takes in turn.

    python benchmarks/draws.py measure clean=clean.npz tap=tap.npz --test TEST --out results/draws
    python benchmarks/draws.py table results/draws

The first trains on every set as it is, and purified in the training by 1, 2, 5 and 15 draws, which in 15 epochs is
another one in each: a record for each set, number of draws and seed. Trainings of one seed have the same first
weights, order and crops, and their draws are the same as far as there are that many. It goes on if stopped; processes
with other --seeds may share the folder.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import click

from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.errors import RunError
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.data import read
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.fresh import FreshDraws
from unpoison.runs.run import PurifyRun
from unpoison.scoring.intervals import mean_over_trials

DRAWS = (0, 1, 2, 5, 15)  # 0: the set as it is
EPOCHS = 15
TRAINING: dict[str, Any] = {"model": "hlb-s", "profile": "puregen-hlb-small", "width": 16, "precision": "fp32"}


@click.group()
def main() -> None:
    """Measure the curve of draws."""


@main.command()
@click.argument("sets", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option("--test", required=True, help="Clean pictures that are in none of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--method", default="fast", show_default=True, help="The purifier.")
@click.option("--profile", default="", help="Its profile.")
@click.option("--draws", multiple=True, type=click.IntRange(0), default=DRAWS, show_default=True)
@click.option("--seeds", multiple=True, type=click.IntRange(0), default=(0, 1, 2), show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=EPOCHS, show_default=True)
def measure(
    sets: tuple[str, ...],
    test: str,
    out: Path,
    method: str,
    profile: str,
    draws: tuple[int, ...],
    seeds: tuple[int, ...],
    epochs: int,
) -> None:
    """Write a record for each training."""
    settings = purifier_settings(method, profiles=[profile] if profile else [])
    asked = {"purifier": {name: own.described() for name, own in settings.items()}, "epochs": epochs, **TRAINING}
    test_set = read(test)
    named = [one.partition("=")[::2] for one in sets]
    for seed in seeds:
        for name, source in named:
            train_set = read(source)
            about = {"name": name, "data": train_set.content_hash, "test": test_set.content_hash, "asked": asked}
            for count in draws:
                path = out / f"{name}-{count}-{seed}.json".replace(" ", "-")
                if path.exists():
                    _check_same(path, about)
                    continue
                click.echo(f"{name}, {count} draws, seed {seed}")
                found = _train(train_set, test_set, settings, count, seed, epochs)
                where = {"device": describe_device(choose_device()), "versions": versions()}
                write_json(path, {**about, "draws": count, "seed": seed, **found, **where})


def _check_same(path: Path, about: dict[str, Any]) -> None:
    record = read_json(path)
    if different := [key for key, value in about.items() if record[key] != value]:
        raise RunError(f"{path} is of other {', '.join(different)}; name another folder with --out")


def _train(
    train_set: ImageSet, test_set: ImageSet, settings: dict[str, Settings], count: int, seed: int, epochs: int
) -> dict[str, Any]:
    fresh = None
    if count:
        fresh = FreshDraws(train_set, PurifyRun(settings, seed=seed), epochs=epochs, draws=count)
    fields = {**TRAINING, "epochs": epochs, "test_every": epochs}
    trained = train(train_set, test_set=test_set, seed=seed, redraw=fresh, **fields)
    return {
        "accuracy": trained.history[-1].test_accuracy,
        "train seconds": round(trained.seconds, 1),
        "purify seconds": round(fresh.seconds, 1) if fresh else 0.0,
        "purified": fresh.describe() if fresh else None,
    }


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
def table(records: Path) -> None:
    """Write table.md: accuracy and its deviation between seeds in %, what all draws gain on one, and the cost."""
    found = [read_json(path) for path in sorted(records.glob("*.json"))]
    draws = sorted({record["draws"] for record in found})
    heads = ["as it is" if count == 0 else f"{count} draw{'s' if count > 1 else ''}" for count in draws]
    lines = [f"| set | {' | '.join(heads)} | most minus 1 |", f"|---|{'---|' * (len(draws) + 1)}"]
    for name in dict.fromkeys(record["name"] for record in found):
        by_draws = {
            count: {one["seed"]: 100 * one["accuracy"] for one in found if (one["name"], one["draws"]) == (name, count)}
            for count in draws
        }
        cells = [_show(list(values.values())) for values in by_draws.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {_gain(by_draws)} |")
    for what in ("train", "purify"):
        cells = [f"{median(one[f'{what} seconds'] for one in found if one['draws'] == count):.0f}" for count in draws]
        lines.append(f"| seconds to {what}, median | {' | '.join(cells)} | |")
    lines += [
        "",
        "Test accuracy in %; ±: deviation between seeds; last column: paired by seed, with 95 % t interval.",
        "",
    ]
    write_text(records / "table.md", "\n".join(lines))
    click.echo((records / "table.md").read_text(encoding="utf-8"))


def _show(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _gain(by_draws: dict[int, dict[int, float]]) -> str:
    """What the most draws gain on one, seed by seed."""
    most, one = by_draws[max(by_draws)], by_draws.get(1, {})
    gains = [most[seed] - one[seed] for seed in sorted(most.keys() & one.keys())]
    if len(gains) < 2:
        return f"{gains[0]:+.1f}" if gains else "-"
    metric = mean_over_trials(gains)
    return f"{metric.value:+.1f} ({metric.low:+.1f} to {metric.high:+.1f})"


if __name__ == "__main__":
    main()

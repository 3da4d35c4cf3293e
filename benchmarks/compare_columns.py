"""The difference between two columns of a suite, trial by trial, with its interval.

python benchmarks/compare_columns.py results/fast-tuning white-25-field-16 eclipse
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click

from unpoison.core.files import write_text
from unpoison.core.records import read_records
from unpoison.scoring.intervals import mean_over_trials


@click.command()
@click.argument("suite", type=click.Path(path_type=Path, exists=True))
@click.argument("one")
@click.argument("other")
def main(suite: Path, one: str, other: str) -> None:
    accuracy: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for record in read_records(suite):
        place = (record.settings["attack"], record.settings["seed"])
        accuracy[record.settings["defence"]][place] = 100 * record.metrics["accuracy"].value
    both = sorted(set(accuracy[one]) & set(accuracy[other]))
    if not both:
        raise click.UsageError(f"{suite} has no attack and seed with both {one} and {other}")
    groups = {attack: [place for place in both if place[0] == attack] for attack in dict(both)}
    lines = [
        f"Accuracy with {one} minus that with {other}, in points, same poison and seed; mean and 95 % t interval over "
        "trainings.",
        "",
        "| attack | trainings | difference |",
        "|---|---|---|",
    ]
    for name, places in {**groups, "all": both}.items():
        differences = [accuracy[one][place] - accuracy[other][place] for place in places]
        mean = sum(differences) / len(differences)
        interval = ""
        if len(differences) > 1:
            metric = mean_over_trials(differences)
            interval = f" ({metric.low:+.1f} to {metric.high:+.1f})"
        lines.append(f"| {name} | {len(differences)} | {mean:+.1f}{interval} |")
    text = "\n".join(lines) + "\n"
    write_text(suite / f"{one}-against-{other}.md", text)
    click.echo(text)


if __name__ == "__main__":
    main()

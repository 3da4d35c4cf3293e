"""A table of the records that came from PureGen's `Results.csv`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, stdev

from unpoison.core.records import TrialRecord


def results_table(records: Sequence[TrialRecord]) -> str:
    """Accuracy and success in %, one line for each attack, classifier and defence.

    Mean and standard deviation (with n - 1 below) are over the targets or target classes, as in the paper; success with
    a trigger is that of the trigger as it is, times 1.
    """
    groups: dict[tuple[str, ...], list[TrialRecord]] = defaultdict(list)
    for record in records:
        settings = record.settings
        mode, model = settings["train"]["mode"], settings["reference"]["model"]
        groups[settings["dataset"], settings["attack"], mode, model, settings["defence"]].append(record)
    lines = [
        "| data set | attack | training | classifier | data key | trainings | accuracy | success | highest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for names, group in groups.items():
        accuracy = [record.metrics["accuracy"].value for record in group]
        success = [
            record.metrics[name].value
            for record in group
            for name in ("success_x1", "success")
            if name in record.metrics
        ]
        highest = f"{100 * max(success):.2f}" if success and "success_x1" in group[0].metrics else "-"
        shown = [*names, str(len(group)), _spread(accuracy), _spread(success) if success else "-", highest]
        lines.append(f"| {' | '.join(' '.join(cell.replace('|', ' ').split()) for cell in shown)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.2f}{deviation}"

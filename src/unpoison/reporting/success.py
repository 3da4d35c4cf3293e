"""Success of triggered and triggerless attacks over the target classes or targets of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from unpoison.bench.suite import Suite
from unpoison.core.records import Metric, TrialRecord
from unpoison.scoring.intervals import share

_BASELINE = "clean_"  # before the name of a metric: of the classifier that never saw the poison


@dataclass(frozen=True)
class Success:
    """The trials of one attack under one defence.

    Args:
        triggered: by the factor of the trigger, the share of test images of other classes taken for the target class,
            one for each trial; empty for a triggerless attack.
        targeted: share of targets taken for their intended class, with its Wilson interval; None for a triggered one.
        baseline: the same of classifiers trained on the clean set: per factor the mean, or the share of targets.
    """

    triggered: Mapping[str, Sequence[float]]
    targeted: Metric | None
    baseline: Mapping[str, float]


def gather_success(records: Sequence[TrialRecord]) -> Success | None:
    """Arrange the trials of one attack under one defence; None if it is an availability attack."""
    names = [name for name in records[0].metrics if name.startswith("success")]
    if not names:
        return None
    values = {name: [record.metrics[name].value for record in records] for name in names}
    baseline = {name: fmean(record.metrics[_BASELINE + name].value for record in records) for name in names}
    if names == ["success"]:
        return Success({}, share(round(sum(values["success"])), len(records)), baseline)
    return Success(values, None, baseline)


def success_table(suite: Suite, found: Mapping[tuple[str, str], Success | None]) -> str:
    """Attack success in %, attacks down, defences across; empty if no attack of the suite has a trigger or a target.

    Args:
        suite: gives the order.
        found: (attack, defence) -> success.
    """
    rows = [attack for attack in suite.attacks if any(found.get((attack, defence)) for defence in suite.defences)]
    if not rows:
        return ""
    lines = [
        f"| attack success | {' | '.join(suite.defences)} |",
        f"|---|{'---|' * len(suite.defences)}",
    ]
    for attack in rows:
        shown = [found.get((attack, defence)) for defence in suite.defences]
        for name, show in ((attack, show_success), (f"{attack}, clean control", show_baseline)):
            lines.append(f"| {name} | {' | '.join(show(success) if success else '-' for success in shown)} |")
    return "\n".join(lines) + "\n"


def describe_success(found: Sequence[Success]) -> str:
    """What the figures of the table are."""
    parts = []
    if any(success.triggered for success in found):
        parts.append(
            "Triggered: share of all clean test images of other classes that are taken for the target class once the "
            "trigger, times 1, 2 or 3, is added; mean and maximum over the target classes, one training each."
        )
    if any(success.targeted for success in found):
        parts.append(
            "Triggerless: targets taken for their intended class after the last epoch, of all targets, one training "
            "each, with a 95 % Wilson interval over targets."
        )
    return " ".join(
        [*parts, "Clean control: the same of classifiers trained on the clean set, purified in the same way."]
    )


def show_success(success: Success) -> str:
    """The success in %, in a few words."""
    if success.targeted is not None:
        rate = success.targeted
        hits = round(rate.value * rate.n)
        return f"{hits}/{rate.n} = {100 * rate.value:.0f} ({100 * rate.low:.0f} to {100 * rate.high:.0f})"
    return "; ".join(
        f"{name.removeprefix('success_')} {100 * fmean(values):.1f} (max {100 * max(values):.1f})"
        for name, values in success.triggered.items()
    )


def show_baseline(success: Success) -> str:
    """What the clean control does without any poison, in %."""
    return "; ".join(
        f"{name.removeprefix('success').removeprefix('_')} {100 * value:.1f}".strip()
        for name, value in success.baseline.items()
    )

"""Telling: an audit in a few lines, and its scores as columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unpoison.auditing.audit import Audit
from unpoison.auditing.evidence.words import WORDS, missed
from unpoison.auditing.verdict import Finding, Verdict

STANDS_OUT = 4.0  # standard deviations of its set from which a picture is named
_SHOWN = 5


def tell(audit: Audit) -> str:
    """Verdict, what speaks for it, where, and what may have been missed."""
    verdict = audit.verdict
    pictures = f"{audit.name}: {len(audit.ids):,} pictures of {len(audit.class_names):,} classes"
    if verdict.answer == "cannot tell":
        return f"{pictures}: cannot tell: {verdict.reason}"
    if verdict.answer == "nothing found":
        hidden = "\n".join(f"  - {sentence}" for sentence in missed(len(audit.ids), len(audit.class_names)))
        return f"{pictures}: nothing found\nmay be missed in a set of this size:\n{hidden}"
    lines = [f"{pictures}: LOOKS POISONED: {as_surprising(verdict)}"]
    lines += [f"  - {_tell(one)}" for one in first_of_each_kind(verdict.speaking)]
    order = np.argsort(-audit.by_class, kind="stable")[:_SHOWN]
    lines.append("most suspicious classes: " + ", ".join(audit.class_names[label] for label in order))
    standing = int((audit.suspicion > STANDS_OUT).sum())
    if standing:
        most = np.argsort(-audit.suspicion, kind="stable")[: min(standing, _SHOWN)]
        lines.append(f"pictures that stand out: {standing:,}, first " + ", ".join(audit.ids[row] for row in most))
    else:
        lines.append("no picture stands out from its set: what was done was done to all or to none")
    return "\n".join(lines)


def as_surprising(verdict: Verdict) -> str:
    """How usual so much surprise is among clean sets."""
    clean = verdict.as_surprising
    many = round(clean.value * clean.n)
    are = "are" if many > 1 else "is"
    return f"{many or 'none'} of {clean.n} clean sets, each judged by others alone, {are} as surprising"


def first_of_each_kind(findings: tuple[Finding, ...]) -> list[Finding]:
    """The most surprising finding of each kind of evidence."""
    return list({one.kind: one for one in reversed(findings)}.values())[::-1]


def _tell(finding: Finding) -> str:
    name = finding.sign.split(".", maxsplit=1)[1]
    words = WORDS[finding.kind]
    return (
        f"{words.title}: {finding.measured:.2f}, clean sets alike show {finding.expected:.2f} "
        f"({finding.surprise:.0f} standard deviations; {words.values[name]})"
    )


def score_columns(audit: Audit) -> Mapping[str, list[object]]:
    """One value a picture in each column.

    `poison_score` and `is_poison_issue` follow the habit of tools for data quality: 1 is good, 0 is bad.
    """
    flagged = (audit.suspicion > STANDS_OUT) & (audit.verdict.answer == "poisoned")
    columns: dict[str, list[object]] = {
        "id": list(audit.ids),
        "class": [audit.class_names[label] for label in audit.labels],
        "suspicion": audit.suspicion.tolist(),
        "poison_score": (1 / (1 + audit.suspicion.clip(0))).tolist(),
        "is_poison_issue": flagged.tolist(),
    }
    for view, kinds in audit.evidence.items():
        for kind, one in kinds.items():
            if one.images is not None:
                columns[f"{view}.{kind}"] = one.images.tolist()
    return columns

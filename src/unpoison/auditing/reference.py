"""Trusted pictures: how much of the class is read from a set, against as many pictures of the same classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpoison.auditing.evidence.readability import measure_coarse, measure_images, measure_textures
from unpoison.auditing.expectations import on_scale
from unpoison.auditing.verdict import Finding
from unpoison.auditing.views import View

_READ = {
    "images.advantage": measure_images,
    "textures.advantage": measure_textures,
    "coarse.side_4": measure_coarse,
}
_SAME = 0.03  # standard deviation of two parts of one set on the scale of shares, beside chance


def compare(name: str, shown: View, trusted: View) -> list[Finding]:
    """What is read from pictures as they are, which is more than from trusted ones if they were made easy to learn.

    How hard classes are by nature is known here, as the trusted pictures show it. Of each class as many pictures are
    taken from either, since more are read better.

    Args:
        name: of the views.
        shown: the set.
        trusted: pictures of at least two of its classes, whose names are the same.
    """
    rows, trusted_rows = _matched(shown, trusted)
    own, usual = _part(shown, rows), _part(trusted, trusted_rows)
    findings = []
    for sign, measure in _READ.items():
        value, expected = (measure(view).values[sign.partition(".")[2]] for view in (own, usual))
        spread = np.sqrt(1 / (2 * len(rows)) + _SAME**2)  # of the difference of two shares' angles
        surprise = float((on_scale("share", value) - on_scale("share", expected)) / spread)
        findings.append(Finding(name, sign, value, expected, surprise))
    return findings


def common_classes(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names that both have, in the order of the first."""
    return [name for name in first if name in set(second)]


def _matched(shown: View, trusted: View) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either, as many of each class."""
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    for name in common_classes(shown.class_names, trusted.class_names):
        members = [np.flatnonzero(view.labels == view.class_names.index(name)) for view in (shown, trusted)]
        count = min(map(len, members))
        for rows, kept in zip(members, chosen, strict=True):
            kept.append(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    return np.concatenate(chosen[0]), np.concatenate(chosen[1])


def _part(view: View, rows: np.ndarray) -> View:
    present, labels = np.unique(view.labels[rows], return_inverse=True)
    names = tuple(view.class_names[label] for label in present)
    return View(view.images[rows], view.residuals[rows], view.again[:0], labels, names)

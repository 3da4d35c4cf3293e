"""An audit: the evidence in a set, the verdict, and how suspicious each picture and each class is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unpoison.auditing.evidence.methods import METHODS
from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.verdict import Verdict, judge
from unpoison.auditing.views import View, load_views, make_view
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.progress import OnStep


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        name: of the set.
        ids: [N] of its pictures.
        labels: [N] class indices.
        class_names: a name for each index.
        verdict: what the evidence comes to.
        views: `detail`, the middle 32x32 pixels of each picture, and for larger pictures `whole`, all of it in small.
        evidence: for each view, what each kind of evidence says.
        suspicion: [N] float32; how many standard deviations of its set a picture stands out, by the evidence that
            speaks against the set, or by all of it if none does.
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    verdict: Verdict
    views: Mapping[str, View]
    evidence: Mapping[str, Mapping[str, Evidence]]
    suspicion: np.ndarray

    @property
    def by_class(self) -> np.ndarray:
        """[K] float32: mean suspicion of each class."""
        return np.array([self.suspicion[self.labels == label].mean() for label in range(len(self.class_names))])


def audit_set(image_set: ImageSet, *, device: str = "auto", on_step: OnStep | None = None) -> Audit:
    """Gather the evidence in a set of labelled pictures, and judge it.

    Args:
        image_set: pictures of any sizes, every one with a class.
        device: where to denoise.
        on_step: called as pictures are done.
    """
    views = {
        name: make_view(image_set, images, device=device, on_step=on_step)
        for name, images in load_views(image_set, on_step).items()
    }
    evidence = {
        name: {kind: load_method(METHODS, kind, kind="evidence")(view) for kind in METHODS}
        for name, view in views.items()
    }
    values = {name: evidence_values(kinds) for name, kinds in evidence.items()}
    verdict = judge(values, images=len(image_set), classes=len(np.unique(image_set.labels)))
    return Audit(
        image_set.name,
        tuple(image_set.ids),
        image_set.labels,
        tuple(image_set.class_names),
        verdict,
        views,
        evidence,
        _suspicion(evidence, verdict),
    )


def evidence_values(kinds: Mapping[str, Evidence]) -> dict[str, float]:
    """Every value of the evidence as `kind.name`."""
    return {f"{kind}.{name}": value for kind, one in kinds.items() for name, value in one.values.items()}


def _suspicion(evidence: Mapping[str, Mapping[str, Evidence]], verdict: Verdict) -> np.ndarray:
    """[N] float32: the most that a picture stands out by any evidence that speaks."""
    speaking = {(one.view, one.kind) for one in verdict.speaking if evidence[one.view][one.kind].images is not None}
    shown = [
        _standing_out(one.images)
        for view, kinds in evidence.items()
        for kind, one in kinds.items()
        if one.images is not None and ((view, kind) in speaking or not speaking)
    ]
    most: np.ndarray = np.max(shown, axis=0).astype(np.float32)
    return most


def _standing_out(scores: np.ndarray) -> np.ndarray:
    """Scores less their median, in standard deviations as the middle half of them tells."""
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    spread = (high - low) / 1.349 or float(scores.std()) or 1.0
    standing: np.ndarray = (scores - middle) / spread
    return standing

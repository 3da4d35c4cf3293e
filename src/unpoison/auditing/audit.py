"""An audit: the evidence in a set, the verdict, and how suspicious each picture is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from unpoison.auditing.evidence.methods import METHODS
from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.expectations import JUDGED, Measured
from unpoison.auditing.reference import common_classes, compare
from unpoison.auditing.verdict import FEWEST, Verdict, judge, too_few
from unpoison.auditing.views import View, load_views, make_view
from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.methods import load_method
from unpoison.core.progress import OnStep, StepInfo

# Evidence that knows poisoned pictures from clean ones; what is read from pictures as they are knows easy from hard.
_APART = ("residuals", "residual-textures", "colour-residuals", "pixels", "repeats")
_READING, _DENOISING = 0.15, 0.5  # where in the whole these end


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        name: of the set.
        ids: [N] of the pictures that have a class.
        labels: [N] class indices.
        class_names: a name for each index; classes without pictures are left out.
        verdict: what the evidence comes to.
        views: `detail`, the middle 32x32 pixels of each picture, and for larger pictures `whole`, all of it in small.
            None where the set is too small.
        evidence: for each view, what each kind of evidence says.
        suspicion: [N] float32; how many standard deviations of its set a picture stands out, in the mean of the
            evidence that speaks against the set and knows pictures apart, or of all that does.
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


def audit_set(
    image_set: ImageSet,
    *,
    reference: ImageSet | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Audit:
    """Gather the evidence in a set of labelled pictures, and judge it.

    Args:
        image_set: pictures of any sizes; those without a class are left out.
        reference: trusted pictures of the same kind: what they show is expected of the set.
        device: where to denoise.
        on_step: called as it goes on, in percent.

    Raises:
        DataError: fewer than two classes have pictures, or the reference has too few of them.
    """
    told = _Told(on_step)
    about = _labelled(image_set)
    trusted = {} if reference is None else _trusted(reference, about, device)
    views = _views(image_set, about, device, told) if len(about.labels) >= FEWEST else {}
    evidence = {name: gather(view, on_share=told.evidence) for name, view in views.items()}
    shown = {name: measured(evidence[name], view) for name, view in views.items()}
    usual = {name: measured(gather(trusted[name], JUDGED), trusted[name]) for name in views if name in trusted}
    compared = [finding for name in usual for finding in compare(name, views[name], trusted[name])]
    size = {"images": len(about.labels), "classes": len(about.class_names)}
    verdict = judge(shown, **size, trusted=usual, compared=compared)
    return Audit(
        image_set.name,
        about.ids,
        about.labels,
        about.class_names,
        verdict,
        views,
        evidence,
        suspicion(evidence, verdict) if views else np.zeros(len(about.labels), np.float32),
    )


@dataclass(frozen=True)
class _Labelled:
    """The pictures of a set that have a class, and the classes that have pictures."""

    rows: np.ndarray
    ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]


def _labelled(image_set: ImageSet) -> _Labelled:
    rows = np.flatnonzero(np.asarray(image_set.labels) >= 0)
    present, labels = np.unique(np.asarray(image_set.labels)[rows], return_inverse=True)
    if len(present) < 2:
        problem = f"an audit compares classes, and {('none', 'only one')[len(present)]} has pictures"
        raise DataError(image_set.name, problem, "Give a set with labels; --labels-from names a second set with them")
    names = tuple(image_set.class_names[label] for label in present)
    return _Labelled(rows, tuple(image_set.ids[row] for row in rows), labels, names)


@dataclass(frozen=True)
class _Told:
    """Progress of the whole, in percent."""

    on_step: OnStep | None

    def reading(self, step: StepInfo) -> None:
        self._say(_READING * step.step / step.total, "reading")

    def denoising(self, step: StepInfo) -> None:
        self._say(_READING + (_DENOISING - _READING) * step.step / step.total, "denoising")

    def evidence(self, share: float) -> None:
        self._say(_DENOISING + (1 - _DENOISING) * share, "measuring")

    def _say(self, share: float, doing: str) -> None:
        if self.on_step is not None:
            self.on_step(StepInfo(round(100 * share), 100, doing=doing))


def _trusted(reference: ImageSet, about: _Labelled, device: str) -> dict[str, View]:
    """Views of trusted pictures of the classes of a set."""
    known = _labelled(reference)
    common = common_classes(about.class_names, known.class_names)
    if len(common) < 2:
        raise DataError(
            reference.name,
            f"it shares {len(common)} classes with the set by name",
            "Name trusted pictures of its classes",
        )
    if reason := too_few(len(known.labels), len(known.class_names)):
        raise DataError(reference.name, f"it is too small a reference: {reason}", "Give more, or leave it out")
    return _views(reference, known, device, _Told(None))


def _views(image_set: ImageSet, about: _Labelled, device: str, told: _Told) -> dict[str, View]:
    views = {}
    for name, images in load_views(image_set.subset(about.rows), told.reading).items():
        shown = ArrayImageSet(images, about.labels, class_names=about.class_names, ids=about.ids)
        views[name] = make_view(shown, device=device, on_step=told.denoising)
    return views


def gather(
    view: View, kinds: Collection[str] = METHODS, *, on_share: Callable[[float], None] | None = None
) -> dict[str, Evidence]:
    """What each kind of evidence says of a view."""
    found = {}
    for place, kind in enumerate(kinds):
        found[kind] = load_method(METHODS, kind, kind="evidence")(view)
        if on_share is not None:
            on_share((place + 1) / len(kinds))
    return found


def measured(kinds: Mapping[str, Evidence], view: View) -> Measured:
    """The values of what was gathered, as `judge` takes them."""
    values = {f"{kind}.{name}": value for kind, one in kinds.items() for name, value in one.values.items()}
    return Measured(values, len(view), view.classes)


def suspicion(evidence: Mapping[str, Mapping[str, Evidence]], verdict: Verdict) -> np.ndarray:
    """[N] float32: how far each picture stands out, in the mean of what speaks and knows pictures apart."""
    speaking = {(one.view, one.kind) for one in verdict.speaking}
    known = {
        (view, kind): one.images
        for view, kinds in evidence.items()
        for kind, one in kinds.items()
        if kind in _APART and one.images is not None
    }
    heard = speaking & known.keys() or known.keys()
    mean: np.ndarray = np.mean([_standing_out(known[one]) for one in sorted(heard)], axis=0).astype(np.float32)
    return mean


def _standing_out(scores: np.ndarray) -> np.ndarray:
    """Scores less their median, in standard deviations as the middle half of them tells."""
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    spread = (high - low) / 1.349 or float(scores.std()) or 1.0
    standing: np.ndarray = (scores - middle) / spread
    return standing

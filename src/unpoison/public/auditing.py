"""`unpoison.audit`: does a set look poisoned, how, where, and what to do about it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.auditing.advice import Advice, advise
from unpoison.auditing.audit import Audit, audit_set
from unpoison.auditing.candidates import Candidate
from unpoison.auditing.telling import STANDS_OUT, score_columns, tell
from unpoison.auditing.theory import Diagnostics, diagnose
from unpoison.auditing.verdict import Verdict
from unpoison.core.errors import SettingsError, require
from unpoison.core.files import atomic_path, write_text
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, StepInfo, shows_bar
from unpoison.data import read
from unpoison.reporting.audit.page import audit_page
from unpoison.reporting.audit.theory import describe_theory

SCORES = (".parquet", ".csv")


@dataclass(frozen=True)
class AuditResult:
    """What an audit says. Prints well, and shows as HTML in a notebook.

    Args:
        audit: evidence, verdict and the suspicion of each picture.
        advice: the purification that the set needs.
        image_set: the set, for its pictures.
        theory: what is left of the perturbation, if the originals were given.
    """

    audit: Audit
    advice: Advice
    image_set: ImageSet
    theory: Diagnostics | None = None

    @property
    def verdict(self) -> Verdict:
        """`answer`, `as_surprising`, and the findings behind them."""
        return self.audit.verdict

    @property
    def suspicion(self) -> np.ndarray:
        """[N] float32: standard deviations by which each picture with a class stands out."""
        return self.audit.suspicion

    @property
    def scores(self) -> Mapping[str, list[object]]:
        """Columns with a value for each picture, as `pandas.DataFrame` takes them."""
        return score_columns(self.audit)

    def save(self, page: str | PathLike[str]) -> None:
        """Write the page, one HTML file that needs nothing from outside."""
        write_text(Path(page), self._page())

    def save_scores(self, path: str | PathLike[str]) -> None:
        """Write `scores` as .parquet or .csv.

        Raises:
            SettingsError: the path has another suffix.
        """
        path = Path(path)
        check_scores(path)
        if path.suffix.lower() == ".parquet":
            arrow = require("pyarrow", extra="parquet", purpose="writing parquet")
            parquet = require("pyarrow.parquet", extra="parquet", purpose="writing parquet")
            with atomic_path(path) as partial:
                parquet.write_table(arrow.table(dict(self.scores)), partial)
            return
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.scores)
        writer.writerows(zip(*self.scores.values(), strict=True))
        write_text(path, text.getvalue())

    def facts(self) -> dict[str, object]:
        """All that is said, for a program."""
        verdict, audit = self.verdict, self.audit
        return {
            "name": audit.name,
            "images": len(audit.ids),
            "classes": len(audit.class_names),
            "answer": verdict.answer,
            "as_surprising": verdict.as_surprising.model_dump(),
            "reason": verdict.reason,
            "findings": [asdict(one) for one in verdict.findings],
            "by_class": dict(zip(audit.class_names, audit.by_class.tolist(), strict=True)),
            "standing_out": int((audit.suspicion > STANDS_OUT).sum()),
            "advice": {**asdict(self.advice), "tried": [one.describe() for one in self.advice.tried]},
            **({} if self.theory is None else {"theory": asdict(self.theory)}),
        }

    def _page(self) -> str:
        return audit_page(self.audit, self.image_set, advice=self._advised(), theory=self.theory)

    def _advised(self) -> str:
        candidate = Candidate(self.advice.method, self.advice.profiles, self.advice.settings)
        return f"`unpoison purify SRC DST --method {candidate}`: {self.advice.reason}"

    def __str__(self) -> str:
        said = f"{tell(self.audit)}\nadvice: {self._advised()}"
        return said if self.theory is None else f"{said}\n{describe_theory(self.theory)}"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self._page())}" style="width:100%;height:48rem;border:0"></iframe>'


def check_scores(path: Path) -> None:
    """Whether scores can be written there.

    Raises:
        SettingsError: the suffix is none of `SCORES`.
    """
    if path.suffix.lower() not in SCORES:
        raise SettingsError(f"{path}: scores are written as {' or '.join(SCORES)}; choose one of these suffixes")


@shows_bar("audit", unit="%")
def audit(
    x: Any, *, reference: Any = None, theory: Any = None, device: str = "auto", on_step: OnStep | None = None
) -> AuditResult:
    """Say whether a set of labelled pictures looks poisoned, how, where, and what to do about it.

    >>> import unpoison
    >>> str(unpoison.audit("digits#train")).splitlines()[0]  # doctest: +SKIP
    'digits, train: 1,000 pictures of 10 classes: nothing found'

    Args:
        x: a set, or what `read` reads: a path, or a torch Dataset of (picture, label).
        reference: trusted pictures of the same classes, in the same forms; some 200 or more. What they show is expected
            of the set, and the advice is tried on them.
        theory: for who poisoned the set: the pictures before, under the same ids and in the same sizes. What noise, a
            denoiser and `fast` leave of the perturbation is then measured too.
        device: where to compute.
        on_step: called as it goes on, in percent. In a notebook a bar shows if it is left out.

    Raises:
        DataError: a file or row is bad, fewer than two classes have pictures, the reference is too small, or a picture
            has no original of its id and size.
        SettingsError: originals were given, and the pictures have several sizes.
    """
    image_set, trusted = read(x), None if reference is None else read(reference)
    explained = None if theory is None else diagnose(image_set, read(theory), device=device, on_step=on_step)
    found = audit_set(image_set, reference=trusted, device=device, on_step=on_step)
    trying = on_step and (lambda step: on_step(StepInfo(100, 100, doing=step.doing)))
    return AuditResult(found, advise(found, reference=trusted, device=device, on_step=trying), image_set, explained)

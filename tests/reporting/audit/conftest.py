"""An audit of a made-up set, as strange as it may be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unpoison.auditing.audit import Audit
from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.expectations import SIGNS
from unpoison.auditing.verdict import Answer, Finding, Verdict
from unpoison.auditing.views import View
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.scoring.intervals import share


@pytest.fixture
def make_audit() -> Callable[..., tuple[Audit, ImageSet]]:
    def make(
        count: int = 40,
        names: tuple[str, ...] = ("cat", "dog"),
        *,
        answer: Answer = "poisoned",
        side: int = 32,
        ids: list[str] | None = None,
        surprises: dict[str, float] | None = None,
        views: tuple[str, ...] = ("detail",),
    ) -> tuple[Audit, ImageSet]:
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (count, side, side, 3), np.uint8)
        image_set = ArrayImageSet(images, np.arange(count) % len(names), class_names=names, ids=ids, name="set")
        small = generator.integers(0, 256, (count, 32, 32, 3), np.uint8)
        residuals = generator.normal(0, 9, small.shape).astype(np.int16)
        view = View(small, residuals, residuals, image_set.labels, names)
        scores = generator.normal(size=count).astype(np.float32)
        kinds = {sign.partition(".")[0]: Evidence({}, scores) for sign in SIGNS}
        findings = [
            Finding(name, sign, 0.5, 0.25, (surprises or {}).get(sign, 0.1)) for name in views for sign in SIGNS
        ]
        findings.sort(key=lambda one: -one.surprise)
        reason = "" if answer != "cannot tell" else "the set is small"
        audit = Audit(
            "set",
            image_set.ids,
            image_set.labels,
            names,
            Verdict(answer, share(0, 101), tuple(findings) if views else (), reason),
            dict.fromkeys(views, view),
            dict.fromkeys(views, kinds),
            scores.copy(),
        )
        return audit, image_set

    return make

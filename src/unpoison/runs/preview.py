"""A preview of a run on a few pictures, without writing a set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from unpoison.core.chunks import spread_rows
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep
from unpoison.runs.blocks import as_rgb
from unpoison.runs.measuring import Change, measure_change
from unpoison.runs.run import PurifyRun
from unpoison.runs.work import Work


@dataclass(frozen=True)
class Example:
    """A picture before and after.

    Args:
        image_id: its id.
        class_name: name of its class; empty where unknown.
        before: [H, W, 3] uint8.
        after: same shape; as a reader of the written set sees it.
    """

    image_id: str
    class_name: str
    before: np.ndarray
    after: np.ndarray

    @property
    def change(self) -> Change:
        """How much was changed."""
        return measure_change(self.before, self.after)


def preview(
    image_set: ImageSet, run: PurifyRun, *, count: int = 16, device: str = "auto", on_step: OnStep | None = None
) -> Iterator[Example]:
    """Purify a few pictures, spread over the set, exactly as the whole run would.

    Args:
        image_set: what would be purified.
        run: how.
        count: how many pictures.
        device: where to compute.
        on_step: called while a purifier looks at the whole set.

    Yields:
        The examples, class by class; large ones come few at a time, so that memory stays bounded.

    Raises:
        DataError: one of the pictures is broken.
    """
    run = replace(run, copies=1)
    whole = Work(image_set, run, device=device)
    whole.prepare(on_step=on_step)  # ranks are those of the whole set
    chosen = image_set.subset(spread_rows(image_set.labels, count))
    work = Work(chosen, run, device=device, purifier=whole.purifier)
    for rows in work.blocks:
        for row, purified in zip(rows, work.purify_rows(rows, png=False), strict=True):
            label = chosen.labels[row]
            class_name = chosen.class_names[label] if label >= 0 else ""
            yield Example(chosen.ids[row], class_name, chosen.picture(row).rgb, as_rgb(np.asarray(purified.data)))

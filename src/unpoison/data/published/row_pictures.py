"""Sets in memory whose labels lie in another set, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpoison.core.images import ArrayImageSet


class RowPictures(ArrayImageSet):
    """Pictures that stand for the rows of the set that they were made from; without labels, they are -1."""

    @property
    def numbers(self) -> list[int]:
        """Per picture the row of that set."""
        return list(range(len(self)))

    def labelled(self, labels: np.ndarray, class_names: Sequence[str]) -> RowPictures:
        """The same pictures with labels."""
        labelled = RowPictures(self.images, labels, class_names=class_names, ids=self.ids, name=self.name)
        labelled.inherit(self)
        return labelled

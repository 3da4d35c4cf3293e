"""Columns of tables that stand beside the pictures."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Columns(Protocol):
    """What tables hold beside picture and label, row by row.

    Attributes:
        names: of these columns.
        picture: name of the column of pictures.
    """

    picture: str

    @property
    def names(self) -> list[str]: ...

    def take(self, rows: np.ndarray) -> Columns:
        """The same of some rows, [n] whole numbers."""
        ...

    def schema(self, picture: Any) -> Any:
        """Arrow schema of all columns, with another type of picture."""
        ...

    def read(self, name: str, rows: slice) -> Any:
        """A column's values in some rows, as an arrow array."""
        ...

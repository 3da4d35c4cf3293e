"""Names in a tree of published files: their order, and hundreds of them in a line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable


def by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts `a/9` before `a/10`."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]


def list_names(names: Iterable[str]) -> str:
    """Names in a line, numbers at their end as a range.

    Examples:
        >>> list_names(["a/1", "a/2", "a/10", "b/1", "c"])
        'a/1 to 10, b/1, c'
    """
    groups = defaultdict(list)
    for name in names:
        groups[re.sub(r"(?<![^/])\d+\Z", "", name)].append(name)
    return ", ".join(
        group[0] if len(group) == 1 else f"{group[0]} to {group[-1].rpartition('/')[2]}" for group in groups.values()
    )

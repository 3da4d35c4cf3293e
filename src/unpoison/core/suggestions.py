"""Suggestions for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest of those that exist, if one is near, and all of them.

    Letters in the wrong order come before wrong letters.

    >>> suggest("lps", ["ops", "lsp"])
    "; did you mean 'lsp'? Choose from ops, lsp"
    >>> suggest("x", ["ops", "lsp"])
    '; choose from ops, lsp'
    """
    names = list(names)
    if not names:
        return ""
    by_lower = {known.lower(): known for known in names}
    asked = name.lower()
    near = [known for known in by_lower if sorted(known) == sorted(asked)]
    near += difflib.get_close_matches(asked, by_lower, n=1)
    if near:
        return f"; did you mean '{by_lower[near[0]]}'? Choose from {', '.join(names)}"
    return f"; choose from {', '.join(names)}"

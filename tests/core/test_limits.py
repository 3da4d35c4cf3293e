"""The page of limits says what the code holds to."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

from unpoison.core import limits

_PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def rows():
    """The rows of the page: each limit has its sentence below it."""
    body = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
    for assigned, sentence in pairwise(body):
        if isinstance(assigned, ast.Assign) and isinstance(sentence, ast.Expr):
            what, why = ast.literal_eval(sentence.value).rstrip(".").split(", because ")
            yield f"| {what} | {getattr(limits, assigned.targets[0].id):,} | {why} |"


def test_the_page_names_every_limit():
    page = _PAGE.read_text(encoding="utf-8")
    assert [row for row in page.splitlines() if row.startswith("| ")][1:] == list(rows())

"""What the first line of every module says."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
RIDDLES = ("What", "How", "Where", "Whether", "Which", "Who", "Why", "When", "Does", "Is", "In which", "From which")


def test_docstrings_open_with_what_the_module_holds():
    riddles = {}
    for path in SOURCE.rglob("*.py"):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        if not first.endswith((".", "?")) or first.startswith(tuple(f"{riddle} " for riddle in RIDDLES)):
            riddles[path.relative_to(SOURCE).as_posix()] = first
    assert not riddles

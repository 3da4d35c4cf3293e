"""Modules: what their first line says, and what they import and name."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import grimp

SOURCE = Path(__file__).parents[1] / "src"
RIDDLES = ("What", "How", "Where", "Whether", "Which", "Who", "Why", "When", "Does", "Is", "In which", "From which")


def test_docstrings_open_with_what_the_module_holds():
    riddles = {}
    for path in SOURCE.rglob("*.py"):
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        if not first.endswith((".", "?")) or first.startswith(tuple(f"{riddle} " for riddle in RIDDLES)):
            riddles[path.relative_to(SOURCE).as_posix()] = first
    assert not riddles


def test_no_two_modules_import_each_other_however_far_around():
    graph = grimp.build_graph("unpoison", exclude_type_checking_imports=True)
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while ends := [module for module, imported in below.items() if not imported]:
        for module in ends:
            del below[module]
        for imported in below.values():
            imported.difference_update(ends)
    assert not below, f"these import each other: {sorted(below)}"


def test_no_room_names_a_higher_one_in_a_string():
    contract = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rank = {room.strip(): height for height, layer in enumerate(contract["layers"]) for room in layer.split("|")}
    upward = []
    for path in (SOURCE / "unpoison").glob("*/**/*.py"):
        room = f"unpoison.{path.relative_to(SOURCE / 'unpoison').parts[0]}"
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = re.match(r"unpoison\.\w+(?=[.:]|$)", node.value)
                if named and rank.get(named[0], 99) < rank.get(room, 99):
                    upward.append(f"{path.relative_to(SOURCE)}: {node.value[:60]}")
    assert not upward

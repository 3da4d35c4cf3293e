"""Every suite that comes with unpoison resolves: its parts, its settings, its cells; nothing is trained."""

from __future__ import annotations

import pytest

from unpoison.bench.cells import list_cells
from unpoison.bench.checking import check_parts
from unpoison.bench.shipped import list_suites
from unpoison.bench.suite import read_suite

NAMED = {"quick", "cpu", "eclipse-table1", "eclipse-ablation", "puregen-table1", "puregen-strong", "availability"}


def test_those_that_are_promised_are_there():
    assert {*NAMED, "speed-accuracy"} <= set(list_suites())


@pytest.mark.parametrize("name", list_suites())
def test_it_resolves(name):
    suite = read_suite(list_suites()[name])
    assert suite.name == name
    check_parts(suite)
    cells = list_cells(suite)
    assert len(cells) == len(set(cells)) > 1

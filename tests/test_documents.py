"""What the documents say is what the program and the records say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unpoison.classify.defences.methods import METHODS as DEFENCES
from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.purifiers.methods import METHODS as PURIFIERS
from unpoison.reporting.grid import read_grid
from unpoison.reporting.paired import paired_table
from unpoison.reporting.tables import grid_tables

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SUITES = sorted(path.parent for path in (ROOT / "results").glob("*/suite.toml"))


@pytest.mark.parametrize("name", [*PURIFIERS, *ATTACKS, *CLASSIFIERS, *DEFENCES])
def test_every_method_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs" / "methods.md").read_text()


@pytest.mark.parametrize("folder", SUITES, ids=[folder.name for folder in SUITES])
def test_tables_are_made_from_the_records(folder):
    grid = read_grid(folder)
    assert (folder / "table.md").read_text() == grid_tables(grid)


@pytest.mark.parametrize("suite", ["cifar10-eclipse", "fast-test", "puregen"])
def test_the_results_show_the_tables_of_the_records(suite):
    assert (ROOT / "results" / suite / "table.md").read_text() in (ROOT / "docs" / "results.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_pages_rank_the_defences_as_the_records_do(page):
    assert paired_table(read_grid(ROOT / "results" / "availability-core")) in (ROOT / page).read_text()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert missing == []

"""A trial on record asked for nothing that its suite does not ask for today, so that it is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from unpoison.bench.checking import training_settings
from unpoison.bench.identity import OF_BODY
from unpoison.bench.suite import read_suite
from unpoison.core.records import read_records

SUITES = sorted(Path(__file__).parents[2].glob("results/*/suite.toml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.parent.name)
def test_trainings_on_record_have_the_settings_of_today(path):
    suite = read_suite(path)
    records = read_records(path.parent)
    assert records
    for record in records:
        recorded = {name: value for name, value in record.settings["train"].items() if name not in ("model", "body")}
        asked = training_settings(suite, suite.defences[record.settings["defence"]])
        asked = asked.model_copy(update={"precision": recorded["precision"]}).model_dump(mode="json")
        transferred = {} if suite.train.mode == "scratch" else {"mode": suite.train.mode, **OF_BODY}
        assert {**asked, **transferred} == recorded

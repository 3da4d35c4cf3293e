"""Ids of trials stay what they are: else every suite would be run again."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from unpoison.bench import workshop
from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cache import Cache, Made
from unpoison.bench.cells import list_cells
from unpoison.bench.identity import TrialSettings
from unpoison.bench.shipped import list_suites
from unpoison.bench.suite import read_suite
from unpoison.bench.trials import Trials
from unpoison.bench.workshop import Workshop
from unpoison.core.records import Records, read_records

RESULTS = Path(__file__).parents[2] / "results"
SUITES = [name for name in list_suites() if (RESULTS / name).is_dir()]
# Trials of attacks and transfers that computed in fp32, before they had a precision; today they would be others.
BEFORE_PRECISION = {"bullseye": 63, "fast-test": 5, "fast-tuning": 27, "gradient-matching": 8}


class RecordedSets(Cache):
    """Makes no set: each is the one that a record tells of."""

    record = None

    def make_set(self, asked, source, make):
        return Made(lambda: None, self.record.inputs["purified" if "method" in asked else "poisoned"], asked, 0.0)


class Recorded(Workshop):
    """Makes no network: each is the one that a record tells of."""

    @property
    def record(self):
        return self.cache.record

    def fit(self, model, clean):
        field = next(field for field in ("energy", "model") if field in self.record.inputs)
        purifier = next(link for link in self.record.settings["purify"].values() if isinstance(link, dict))
        return Made(lambda: Path(purifier[field]), self.record.inputs[field], self.record.settings["fit"], 0.0)

    def train(self, fitted, train_set, test_set):
        body = self.record.settings["train"].get("body", {"model": fitted.model})
        surrogates = self.record.settings["poison"].get("surrogates", [""])
        return Made(lambda: None, self.record.inputs.get("body", surrogates[0]), body, 0.0)


@pytest.mark.parametrize("name", SUITES)
def test_records_have_the_ids_that_the_suites_ask_for(name, tmp_path, monkeypatch):
    suite, records = read_suite(list_suites()[name]), read_records(RESULTS / name)
    cache = RecordedSets(tmp_path)
    shop = Recorded(cache, device="cpu", bar=None, arithmetic=Arithmetic("cpu", fixed=suite.precision, begun=records))
    by_cell = defaultdict(list)
    for record in records:
        asked = record.settings
        by_cell[asked["attack"], asked["defence"], asked["seed"], str(asked.get("case", {}))].append(record)
    found = set()
    for cell in list_cells(suite):
        case = suite.attacks[cell.attack].each_case()[cell.case]
        for record in by_cell[cell.attack, cell.defence, cell.seed, str(case)]:
            cache.record, poison = record, record.settings["poison"]
            further = {key.removesuffix(" of"): {"hash": poison[key]} for key in poison if key.endswith(" of")}
            monkeypatch.setattr(workshop, "sets_used", lambda _, found=further: found)
            sets = defaultdict(lambda: SimpleNamespace(content_hash=""))
            sets["train"] = SimpleNamespace(content_hash="" if poison else record.inputs["poisoned"])
            sets["test"] = SimpleNamespace(content_hash=record.inputs["test"])
            if Trials(suite, sets, Records(tmp_path), shop).prepare(cell).id == record.id:
                found.add(record.id)
    assert len(found) == len(records) - BEFORE_PRECISION.get(name, 0)


@pytest.mark.parametrize("name", SUITES)
def test_records_of_old_are_of_the_first_version(name):
    for record in read_records(RESULTS / name):
        settings = TrialSettings.model_validate(record.settings)
        assert settings.version == 1
        assert settings.as_json() == record.settings
        assert settings.id(record.inputs) == record.id
        assert (RESULTS / name / f"{record.id}.json").exists()


def test_a_later_version_is_not_taken_for_the_first():
    fields = {"attack": "a", "defence": "d", "poison": {}, "purify": {}, "fit": {}, "train": {}, "seed": 0}
    assert TrialSettings(**fields).as_json() == fields
    with pytest.raises(ValidationError, match="version"):
        TrialSettings(**fields, version=2)

"""Every suite that comes with unpoison resolves: its parts, its settings, its cells; nothing is trained."""

from __future__ import annotations

import pytest

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cells import list_cells
from unpoison.bench.checking import check_parts, training_settings
from unpoison.bench.shipped import list_suites
from unpoison.bench.suite import read_suite
from unpoison.classify.defences.methods import METHODS

TABLES = ["cpu", "eclipse-table1", "eclipse-ablation", "puregen-table1", "puregen-table1-linear", "puregen-strong"]
TABLES += ["availability", "speed-accuracy"]


def test_those_that_are_promised_are_there():
    assert {"quick", *TABLES} <= set(list_suites())


def test_availability_has_every_defence_at_train_time():
    suite = read_suite(list_suites()["availability"])
    assert {defence.train for defence in suite.defences.values() if not defence.purify} == {"", *METHODS}


@pytest.mark.parametrize("name", TABLES)
def test_all_machines_compute_the_tables_in_one_arithmetic(name):
    suite = read_suite(list_suites()[name])
    assert suite.precision == "fp32"
    arithmetic = Arithmetic("cpu", fixed=suite.precision)
    trainings = [training_settings(suite, defence) for defence in suite.defences.values()]
    assert {arithmetic.settle(training).precision for training in trainings} == {"fp32"}


@pytest.mark.parametrize("name", list_suites())
def test_it_resolves(name):
    suite = read_suite(list_suites()[name])
    assert suite.name == name
    check_parts(suite)
    cells = list_cells(suite)
    assert len(cells) == len(set(cells)) > 1

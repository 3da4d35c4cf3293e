"""What the table and the page of distances say, and the command that makes them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from unpoison.cli.main import cli
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.data import write
from unpoison.reporting.distances import describe_crossing, distance_table, distances_page
from unpoison.studies.distances import Station

STATIONS = [
    Station(0, 1.5, 0.0, 0.0, 0.0, energy=2.0, clean_energy=1.0),
    Station(50, 1.6, 1.25, 1.5, 0.25, energy=0.5, clean_energy=0.25),
    Station(100, 2.0, 2.5, 2.0, 0.875, energy=-1.0, clean_energy=-1.5),
]
NO_ENERGIES = [Station(0, 1.0, 0.0, 0.0, 0.0), Station(8, 1.0, 0.5, 0.7, 0.0)]


def page_of(stations, **changed) -> str:
    about = {"field": "steps", "method": "puregen-ebm", "model": "m.safetensors", "pictures": 9} | changed
    return distances_page(stations, **about)


def test_the_table_has_a_row_for_every_station():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in distance_table(STATIONS, field="steps").splitlines()
    ]
    assert rows[0][0] == "steps"
    assert rows[0][2:5] == ["purified poison to clean", "purified poison to poison", "purified clean to clean"]
    assert rows[3] == ["50", "25.0 %", "1.6", "1.25", "1.5", "0.5", "0.25"]
    assert len(distance_table(NO_ENERGIES, field="t").splitlines()[2].strip("|").split("|")) == 5


def test_the_crossing_is_said():
    assert describe_crossing(STATIONS, field="steps").startswith("From steps = 100 on, purified")
    assert "do not, on average, come to stay" in describe_crossing(NO_ENERGIES, field="t")
    assert "Up to t = 8" in describe_crossing(NO_ENERGIES, field="t")


def test_curves_stand_where_the_values_are():
    page = page_of(STATIONS)
    distances, energies = re.findall(r"<svg.*?</svg>", page)
    assert distances.count("<polyline") == 3
    assert energies.count("<polyline") == 2
    to_clean, to_poisoned, _ = (
        [[float(value) for value in corner.split(",")] for corner in points.split()]
        for points in re.findall(r'<polyline points="([^"]*)"', distances)
    )
    (left, bottom), (middle, _), (right, top) = to_poisoned
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    assert to_clean[0][1] == pytest.approx(top + (bottom - top) * (1 - 1.5 / 2.5), abs=0.1)
    (mark,) = re.findall(r'class="crossing" x1="([\d.]+)"', distances)
    assert float(mark) == right
    assert top < to_clean[2][1]  # further from the poisoned pictures than from the clean ones


def test_without_energy_and_crossing_neither_is_drawn():
    page = page_of(NO_ENERGIES, field="t")
    assert page.count("<svg") == 1
    assert 'class="crossing"' not in page
    assert "do not, on average, come to stay" in page


def test_the_page_trusts_no_name():
    page = page_of(STATIONS, model="<script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_flat_curves_have_an_axis_too():
    assert "nan" not in page_of([Station(0, 1.0, 0.0, 0.0, 0.0, energy=1.0, clean_energy=1.0)])


def test_the_command_follows_both_methods(tmp_path, make_set, tiny_energy, tiny_ddpm):
    clean = make_set(8)
    write(clean, tmp_path / "clean.npz")
    poisoned = np.minimum(clean.array(), 247) + np.uint8(8)
    write(ArrayImageSet(poisoned, clean.labels, class_names=clean.class_names, name="bad"), tmp_path / "bad.npz")
    sets = [str(tmp_path / "clean.npz"), str(tmp_path / "bad.npz")]
    page = tmp_path / "page.html"
    common = ["distances", *sets, "--device", "cpu", "--count", "3"]
    ebm = [*common, "--method", "puregen-ebm", "--model", str(tiny_energy), "--set", "steps=2"]
    result = CliRunner().invoke(cli, [*ebm, "--out", str(page), "--json"])
    assert result.exit_code == 0, result.exception
    facts = json.loads(result.output.splitlines()[-1])
    assert (facts["pictures"], facts["field"], facts["crossing"]) == (3, "steps", None)
    assert [one["strength"] for one in facts["stations"]] == [0, 1, 2]
    assert facts["stations"][0]["to_clean"] == pytest.approx(8 / 255 * np.sqrt(16 * 16 * 3), rel=1e-4)
    assert list(facts["weights"]) == [tiny_energy.name]
    assert str(tmp_path) not in page.read_text() + json.dumps(facts)
    ddpm = [*common, "--method", "puregen-ddpm", "--model", str(tiny_ddpm), "--set", "t=1"]
    lines = CliRunner().invoke(cli, ddpm).output.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == ["t", "---:", "0", "1", "2"]
    dry = json.loads(CliRunner().invoke(cli, [*ddpm, "--dry-run"]).output)
    assert dry["settings"]["puregen-ddpm"]["t"] == 1


def test_the_command_refuses_other_methods(tmp_path):
    result = CliRunner().invoke(cli, ["distances", "digits", "digits", "--method", "puregen-reps"])
    assert isinstance(result.exception, SettingsError)


def test_axes_have_round_values():
    stations = [Station(step, 1.234, 0.9, 1.0, 0.5, -3.1e-5 + 1e-7 * step, -2.9e-5) for step in range(0, 101, 50)]
    page = distances_page(stations, field="steps", method="m", model="m", pictures=2)
    assert "in units of 10⁻⁵" in page
    assert ">-3.0</text>" in page
    assert "e-05</text>" not in page
    assert ">1.2</text>" in page

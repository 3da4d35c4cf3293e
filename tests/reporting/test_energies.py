"""What the table and the page of energies say, and the command that makes them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from unpoison.cli.main import cli
from unpoison.core.errors import ModelError
from unpoison.core.images import ArrayImageSet
from unpoison.data import write
from unpoison.nets.weights import load_model
from unpoison.reporting.energies import (
    SetEnergies,
    bin_edges,
    energies_page,
    energy_facts,
    energy_table,
    histogram,
    summarise,
)


def clean_and_poisoned(name: str = "clean") -> list[SetEnergies]:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 50)
    clean, shifted = rng.normal(0, 1, 100).astype(np.float32), rng.normal(8, 1, 100).astype(np.float32)
    return [SetEnergies(name, clean, labels, ["cat", "dog"]), SetEnergies("bad", shifted, labels, ["cat", "dog"])]


def test_summary_is_numpys():
    energies = np.arange(101, dtype=np.float32)
    assert summarise(energies) == {
        "images": 101,
        "mean": 50.0,
        "sd": pytest.approx(np.std(np.arange(101))),
        "quantiles": {"0.05": 5.0, "0.25": 25.0, "0.5": 50.0, "0.75": 75.0, "0.95": 95.0},
    }


def test_the_table_has_a_row_for_every_set_and_class():
    sets = clean_and_poisoned()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in energy_table(sets).splitlines()]
    assert rows[0] == ["set", "class", "images", "mean", "sd", "5 %", "25 %", "50 %", "75 %", "95 %"]
    assert [row[:3] for row in rows[2:]] == [
        ["clean", "all", "100"],
        ["bad", "all", "100"],
        *(["bad", name, "50"] for name in ("dog", "cat")),  # the highest mean first
        *(["clean", name, "50"] for name in ("dog", "cat")),
    ]
    assert [float(row[3]) for row in rows[4:]] == sorted((float(row[3]) for row in rows[4:]), reverse=True)
    assert float(rows[3][3]) == pytest.approx(sets[1].energies.mean(), rel=1e-3)
    assert float(rows[6][3]) == pytest.approx(sets[0].energies[1::2].mean(), rel=1e-3)
    facts = energy_facts(sets)
    assert facts[1]["per_class"]["dog"]["mean"] == pytest.approx(sets[1].energies[1::2].mean())


def test_unknown_labels_and_empty_classes_have_no_row():
    one = SetEnergies("x", np.ones(3, np.float32), np.array([-1, -1, 1]), ["a", "b", "c"])
    assert list(energy_facts([one])[0]["per_class"]) == ["b"]
    assert energy_table([one]).count("\n") == 3


def test_outlines_of_the_histogram_hold_every_picture():
    sets = clean_and_poisoned()
    outlines = re.findall(r'points="([^"]*)"', histogram(sets))
    assert len(outlines) == 2
    middles = []
    for text in outlines:
        corners = np.array([[float(value) for value in corner.split(",")] for corner in text.split()])
        widths, heights = np.diff(corners[:, 0]), 260 - corners[:-1, 1]
        middles.append((widths * heights * corners[:-1, 0]).sum() / (widths * heights).sum())
    # Both have the same area, and lie 8 standard deviations apart on an axis of about 13.
    areas = [np.abs(np.diff([float(c.split(",")[0]) for c in text.split()])).sum() for text in outlines]
    assert areas == [900, 900]
    assert middles[0] < 0.35 * 900
    assert middles[1] > 0.65 * 900


def test_equal_energies_still_have_an_axis():
    one = SetEnergies("x", np.full(4, 2.0, np.float32), np.zeros(4, int), ["a"])
    edges = bin_edges([one])
    assert (edges[0], edges[-1]) == (1.5, 2.5)
    assert "nan" not in histogram([one])


def test_the_page_says_what_it_shows_and_trusts_no_name():
    page = energies_page(clean_and_poisoned("<script>"), model="<i>.safetensors")
    assert "<script" not in page
    assert "&lt;script&gt; (100)" in page
    assert "&lt;i&gt;.safetensors" in page
    assert page.count("<tr>") == 1 + 2 + 1 + 4
    assert page.index("By set") < page.index("By class")
    assert "<details open>" in page


def test_many_classes_wait_to_be_asked_for():
    many = SetEnergies("x", np.arange(30, dtype=np.float32), np.arange(30), [f"c{k}" for k in range(30)])
    page = energies_page([many], model="m")
    assert "<details><summary>30 classes, those of the highest mean energy first" in page
    assert page.index("c29") < page.index("c0<")


def test_axes_have_round_values():
    tiny = SetEnergies("x", np.linspace(-3.462e-05, 8.1e-05, 50, dtype=np.float32), np.zeros(50, int), ["a"])
    drawing = histogram([tiny])
    assert "energy in units of 10⁻⁵" in drawing
    assert re.findall(r">(-?[\d.]+)</text>", drawing) == ["-2", "0", "2", "4", "6", "8"]
    assert "e-05" not in energies_page([tiny], model="m")
    plain = SetEnergies("x", np.linspace(-0.43, 0.12, 50, dtype=np.float32), np.zeros(50, int), ["a"])
    assert re.findall(r">(-?[\d.]+)</text>", histogram([plain])) == ["-0.4", "-0.3", "-0.2", "-0.1", "0.0", "0.1"]
    large = SetEnergies("x", np.linspace(1234567, 1234999, 50), np.zeros(50, int), ["a"])
    assert "energy in units of 10⁶" in histogram([large])


def test_the_command_measures_sets_side_by_side(tmp_path, tiny_energy):
    rng = np.random.default_rng(0)
    for name in ("clean", "bad"):
        images = rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
        (tmp_path / name).mkdir()
        write(ArrayImageSet(images, [0, 1] * 4, class_names=["a", "b"]), tmp_path / name / "x.npz")
    sources = [str(tmp_path / name / "x.npz") for name in ("clean", "bad")]
    page = tmp_path / "page.html"
    arguments = ["energies", *sources, "--model", str(tiny_energy), "--device", "cpu"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(page), "--json"])
    assert result.exit_code == 0, result.exception
    facts = json.loads(result.output.splitlines()[-1])
    name = facts["sets"][0]["name"]
    assert facts["sets"][1]["name"] == f"{name} (2)"
    assert list(facts["weights"]) == [tiny_energy.name]
    expected = load_model(tiny_energy).energy(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).mean().item()
    assert facts["sets"][1]["mean"] == pytest.approx(expected, rel=1e-4)
    assert facts["sets"][0]["mean"] != facts["sets"][1]["mean"]
    assert str(tmp_path) not in page.read_text()
    assert "| b | 4 |" in CliRunner().invoke(cli, arguments).output


def test_the_command_needs_an_energy_model(tmp_path, tiny_model, make_set):
    write(make_set(3), tmp_path / "x.npz")
    result = CliRunner().invoke(cli, ["energies", str(tmp_path / "x.npz"), "--model", str(tiny_model)])
    assert isinstance(result.exception, ModelError)
    assert "energies needs an energy model" in str(result.exception)

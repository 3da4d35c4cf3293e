"""A small energy model, fitted to a toy set: it learns, goes on after a stop, and comes back from a blow-up."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from unpoison.cli.fit import fit
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.pixels import to_float
from unpoison.core.settings import build_settings
from unpoison.data import write
from unpoison.fitting.blow_ups import Figures, find_blow_up, is_out_of_bounds
from unpoison.fitting.checkpoints import checkpoint_path
from unpoison.fitting.contrastive import EnergyRun
from unpoison.fitting.energy import curves, fit_energy
from unpoison.fitting.settings import EnergySettings
from unpoison.nets.weights import load_model, read_header

SMALL = {
    "arguments": {"width": 8},
    "iterations": 12,
    "batch_size": 8,
    "langevin_steps": 3,
    "bank_size": 24,
    "checkpoint_every": 5,
    "snapshot_every": 4,
    "plots": False,
}


def make_settings(**changes) -> EnergySettings:
    return EnergySettings(**{**SMALL, **changes})


@pytest.fixture(autouse=True)
def one_thread():
    """Nets this small are slower on two threads, and several times so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_set(count: int = 32, seed: int = 0) -> ArrayImageSet:
    """Two classes: bright above and dark below, and the other way round."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    halves = np.stack([labels, 1 - labels], axis=1).repeat(4, axis=1)
    pixels = np.where(halves == 0, 200, 60)[:, :, None, None] + random.integers(-10, 11, (count, 8, 8, 3))
    return ArrayImageSet(pixels.astype(np.uint8), labels, name="halves")


def make_run(**changes) -> EnergyRun:
    return EnergyRun(make_set(), settings=make_settings(**changes), seed=0, device=torch.device("cpu"))


def stop_at(step: int):
    def on_step(info):
        if info.step == step:
            raise KeyboardInterrupt

    return on_step


def test_data_sinks_below_noise_and_the_record_says_how(tmp_path):
    out, steps = tmp_path / "net.safetensors", []
    # Steps that take the chains away from the data: the published ones stay beside it for thousands of updates, and
    # whether a plain picture or noise gets the lower energy is luck till then.
    settings = make_settings(
        iterations=60,
        langevin_steps=10,
        step_size=0.05,
        temperature=2e-3,
        learning_rate=1e-3,
        milestones=(),
        checkpoint_every=0,
        plots=True,
        precision="fp32",
    )
    result = fit_energy(make_set(), out=out, settings=settings, on_step=steps.append)
    assert [steps[0].step, steps[-1].step, steps[-1].total] == [1, 60, 60]
    assert result.rollbacks == []

    images = to_float(make_set(seed=1).array())
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    model = load_model(out)
    with torch.no_grad():
        data, uniform = model.energy(images), model.energy(noise)
    for label in (0, 1):
        assert data[label::2].max() < uniform.mean() - 2 * uniform.std()

    header = read_header(out)
    assert (header.architecture, header.arguments, header.kind) == ("sngan-energy", {"width": 8}, "raw")
    assert header.settings["data"]["hash"] == make_set().content_hash
    torch.testing.assert_close(model.state_dict(), result.model.state_dict())
    record = json.loads((tmp_path / "net.fit.json").read_text())
    assert record["settings"] == settings.model_dump(mode="json")
    assert record["rollbacks"] == []
    assert [curve[-1][0] for curve in record["curves"].values()] == [60] * 4
    pytest.importorskip("matplotlib")
    names = {"net.safetensors", "net.fit.json", "net.energies.png", "net.bank.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_an_update_lowers_data_against_its_chains():
    """One small step downhill on the loss of exactly these images, found again by hand."""
    run = make_run(learning_rate=1e-6, rejuvenation=0.0)
    start = run.bank.images.clone()
    figures = run.step()
    moved = (run.bank.images != start).flatten(1).any(dim=1)
    assert moved.sum() == 8  # the chains of one batch, no others
    batch = run.data.draw(0)
    with torch.no_grad():
        data = run.energy(batch.clean + 0.015 * batch.epsilon).mean()
        chains = run.energy(run.bank.images[moved].float()).mean()
    assert figures.data == pytest.approx(data.item(), abs=1e-3)
    assert (data - chains).item() < figures.gap


def test_chains_diffuse_as_langevin_noise_does():
    """Where the energy is flat, k steps add noise of standard deviation step_size sqrt(k)."""
    run = make_run(langevin_steps=9, rejuvenation=0.0, bank_size=8)
    torch.nn.init.zeros_(run.net.l5.weight)
    start = run.bank.images.float()
    run.step()
    assert (run.bank.images.float() - start).std().item() == pytest.approx(0.0125 * 3, rel=0.1)


@pytest.mark.parametrize("learning_rate", [1e-3, 1.0], ids=["calm", "with rollbacks"])
def test_an_interrupted_fit_ends_in_the_same_bytes(tmp_path, learning_rate):
    settings = make_settings(learning_rate=learning_rate, max_rollbacks=20)
    whole = fit_energy(make_set(), out=tmp_path / "whole.safetensors", settings=settings)
    out = tmp_path / "parts.safetensors"
    for step in (7, 11):
        with pytest.raises(KeyboardInterrupt):
            fit_energy(make_set(), out=out, settings=settings, on_step=stop_at(step))
        assert checkpoint_path(out).exists()
        assert not out.exists()
    parts = fit_energy(make_set(), out=out, settings=settings)
    assert parts.trace == whole.trace
    assert parts.rollbacks == whole.rollbacks
    assert bool(whole.rollbacks) == (learning_rate == 1.0)
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not checkpoint_path(out).exists()


def test_a_state_holds_the_bank():
    settings = {"learning_rate": 1e-3, "rejuvenation": 0.5}
    run, other = make_run(**settings), make_run(**settings)
    for _ in range(3):
        run.step()
    other.restore(run.state())
    assert torch.equal(other.bank.images, run.bank.images)
    assert other.step() == run.step()
    assert torch.equal(other.bank.images, run.bank.images)


def test_the_seed_decides(tmp_path):
    settings = make_settings(iterations=2)
    out = tmp_path / "net.safetensors"
    traces = [fit_energy(make_set(), out=out, settings=settings, seed=seed).trace for seed in (0, 0, 1)]
    assert traces[0] == traces[1] != traces[2]


def test_a_blow_up_goes_back_to_the_snapshot_before_the_last():
    run = make_run(snapshot_every=2, learning_rate=1e-3, milestones=())
    weights, banks = {}, {}
    for _ in range(6):
        run.step()
        assert run.guard() is None
        weights[run.done] = {name: value.clone() for name, value in run.net.state_dict().items()}
        banks[run.done] = run.bank.images.clone()
    assert run.learning_rate(run.done) == pytest.approx(1e-3)
    run.net.l5.weight.data.fill_(math.nan)
    run.step()
    rollback = run.guard()
    assert (rollback.at, rollback.to, rollback.why) == (7, 4, "the energy gap is not finite")
    torch.testing.assert_close(run.net.state_dict(), weights[4], rtol=0, atol=0)
    assert torch.equal(run.bank.images, banks[4])
    assert run.done == 4
    assert run.learning_rate(run.done) == pytest.approx(5e-4)
    run.step()
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4)


def test_a_state_holds_what_a_later_blow_up_goes_back_to():
    run, other = make_run(snapshot_every=2), make_run(snapshot_every=2)
    for _ in range(5):
        run.step()
        run.guard()
    other.restore(run.state())
    other.net.l5.weight.data.fill_(math.nan)
    other.step()
    assert other.guard().to == 2


def test_a_fit_at_a_huge_rate_comes_back_and_says_so(tmp_path, caplog):
    out = tmp_path / "net.safetensors"
    settings = make_settings(learning_rate=1.0, max_rollbacks=20, plots=True)
    with caplog.at_level(logging.WARNING):
        result = fit_energy(make_set(), out=out, settings=settings)
    assert result.rollbacks
    assert len(result.trace) == 12
    assert all(math.isfinite(value) for figures in result.trace for value in figures)
    record = json.loads((tmp_path / "net.fit.json").read_text())
    assert [entry["at"] for entry in record["rollbacks"]] == [rollback.at for rollback in result.rollbacks]
    assert len(caplog.records) == len(result.rollbacks)
    assert "going back to 0, learning rate 0.5" in caplog.text


def test_a_hopeless_fit_gives_up(tmp_path):
    settings = make_settings(learning_rate=10.0, max_rollbacks=1)
    with pytest.raises(RunError, match="after 1 rollbacks; choose a smaller learning_rate"):
        fit_energy(make_set(), out=tmp_path / "net.safetensors", settings=settings)
    assert not (tmp_path / "net.safetensors").exists()


CALM = Figures(data=0.0, bank=0.01, noise=1.0, gradient=5.0)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ([CALM._replace(bank=0.19)] * 5, None),
        ([CALM._replace(bank=0.21)] * 5, "the energy gap stayed"),
        ([CALM._replace(bank=-0.21)] * 5, "the energy gap stayed"),
        ([*[CALM._replace(bank=0.21)] * 4, CALM], None),
        ([CALM._replace(gradient=101.0)] * 5, "the gradient norm stayed"),
        ([CALM._replace(gradient=math.inf)], "the gradient norm is not finite"),
        ([CALM._replace(data=math.nan)], "the energy gap is not finite"),
        ([CALM._replace(gradient=0.0)], "dead"),
    ],
)
def test_what_counts_as_a_blow_up(last, why):
    found = find_blow_up([CALM] * 100 + last, EnergySettings())
    assert (found is None) if why is None else (why in found)


def test_nothing_finite_is_out_of_bounds_before_there_is_a_median():
    assert not is_out_of_bounds([1.0, 1.0, 99.0], factor=10, steps=1, window=3)
    assert is_out_of_bounds([1.0, 1.0, 1.0, 99.0], factor=10, steps=1, window=3)


def test_the_learning_rate_falls_at_the_milestones():
    run = make_run(iterations=12, learning_rate=1e-4)
    rates = [run.learning_rate(step) for step in range(12)]
    assert rates == pytest.approx([1e-4] * 4 + [1e-5] * 4 + [1e-6] * 2 + [1e-7] * 2)
    assert make_run(decay="cosine", milestones=()).learning_rate(11) < 5e-6


def test_bfloat16_follows_fp32():
    gaps = []
    for precision in ("fp32", "bf16"):
        run = make_run(precision=precision, learning_rate=1e-3)
        gaps.append([run.step().gap for _ in range(4)])
    assert gaps[1] == pytest.approx(gaps[0], rel=0.1)
    assert gaps[1] != gaps[0]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    out = tmp_path / "net.safetensors"
    checkpoint_path(out).write_bytes(content)
    with pytest.raises(RunError, match="not a checkpoint"):
        fit_energy(make_set(), out=out, settings=make_settings())


@pytest.mark.parametrize(
    ("changes", "seed", "data"), [({"learning_rate": 1e-3}, 0, 0), ({}, 1, 0), ({}, 0, 2)], ids=["rate", "seed", "data"]
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, changes, seed, data):
    out = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_energy(make_set(), out=out, settings=make_settings(), on_step=stop_at(6))
    with pytest.raises(RunError, match="other settings, seed or data"):
        fit_energy(make_set(seed=data), out=out, settings=make_settings(**changes), seed=seed)


def test_wrong_requests_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="safetensors"):
        fit_energy(make_set(), out=tmp_path / "net.pt", settings=make_settings())
    with pytest.raises(SettingsError, match="wdth"):
        fit_energy(make_set(), out=tmp_path / "net.safetensors", settings=make_settings(arguments={"wdth": 8}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="one device"):
        fit_energy(make_set(), out=tmp_path / "net.safetensors", settings=make_settings())


@pytest.mark.parametrize("changes", [{"bank_size": 100}, {"milestones": [1.5]}, {"alarm_factor": 1.0}, {"width": 8}])
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(SettingsError):
        build_settings(EnergySettings, overrides=changes)


def test_profile_ebm_has_the_numbers_of_the_paper():
    settings = build_settings(EnergySettings, profiles=["ebm"], room="unpoison.fitting")
    known = {
        "architecture": "sngan-energy",
        "arguments": {"width": 128},
        "iterations": 120 * (70_000 // 128),
        "batch_size": 128,
        "learning_rate": 1e-4,
        "decay": "constant",
        "warmup": 0,
        "weight_decay": 0,
        "grad_clip": 0,
        "ema_decay": 0,
        "precision": "auto",
        "flip": False,
        "shift": 0,
        "data_noise": 0.015,
        "temperature": 1e-4,
        "langevin_steps": 100,
        "step_size": 0.0125,
        "bank_size": 10_000,
        "rejuvenation": 0.05,
    }
    assert settings.model_dump(include=set(known)) == known
    assert [share * settings.iterations for share in settings.milestones] == pytest.approx(
        [40 * 546, 75 * 546, 100 * 546], abs=0.01
    )
    assert settings == EnergySettings(arguments={"width": 128}, milestones=settings.milestones)


def test_profile_ebm_small_is_the_same_recipe_made_short():
    small = build_settings(EnergySettings, profiles=["ebm-small"], room="unpoison.fitting")
    assert (small.arguments, small.iterations, small.langevin_steps) == ({"width": 32}, 3000, 20)
    paper = EnergySettings(arguments={"width": 32}, iterations=3000, langevin_steps=20, checkpoint_every=250)
    assert small == paper.model_copy(update={"milestones": (0.8, 0.95)})


def test_command_line(tmp_path):
    shown = CliRunner().invoke(fit, ["ebm", "in", "--out", "b", "--profile", "ebm-small", "--dry-run"])
    assert json.loads(shown.output)["settings"]["langevin_steps"] == 20
    write(make_set(), tmp_path / "set.npz")
    assignments = [f"{key}={json.dumps(value)}" for key, value in SMALL.items() if key != "arguments"]
    given = [part for text in (*assignments, "arguments={width=8}", "iterations=2") for part in ("--set", text)]
    result = CliRunner().invoke(
        fit, ["ebm", str(tmp_path / "set.npz"), "--out", str(tmp_path / "net.safetensors"), "--json", *given]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.output.splitlines()[-1])["rollbacks"] == 0
    assert load_model(tmp_path / "net.safetensors").net.l5.weight.shape == (1, 8)


def test_curves_have_a_name_each():
    assert curves([Figures(1.0, 2.0, 3.0, 4.0)]) == {
        "data": [(1, 1.0)],
        "bank": [(1, 2.0)],
        "noise": [(1, 3.0)],
        "gradient": [(1, 4.0)],
    }

"""A small network, fitted to a toy set: it learns, goes on after an interruption, and shares its work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unpoison.core.errors import DiskError, ModelError, RunError, SettingsError
from unpoison.core.files import writing
from unpoison.core.hashing import hash_file
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.settings import build_settings, list_profiles
from unpoison.dynamics.fields import ColouredNoise
from unpoison.fitting.checkpoints import checkpoint_path, save_checkpoint
from unpoison.fitting.diffusion import fit
from unpoison.fitting.networks import new_network
from unpoison.fitting.objectives import build_objective
from unpoison.fitting.records import thin_curve
from unpoison.fitting.running import rate_factor
from unpoison.fitting.settings import DenoiserSettings, FitSettings
from unpoison.nets.ranges import quantise_denoiser
from unpoison.nets.weights import load_model, read_header

SMALL = {
    "arguments": {"channels": 8, "blocks": [1, 1, 1]},
    "iterations": 12,
    "batch_size": 8,
    "warmup": 3,
    "precision": "fp32",
    "shift": 1,
    "checkpoint_every": 5,
    "plots": False,
}


def make_settings(**changes) -> FitSettings:
    return FitSettings(**{**SMALL, **changes})


@pytest.fixture(autouse=True)
def one_thread():
    """Nets this small are slower on two threads, and several times so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_set(count: int = 12, seed: int = 0) -> ArrayImageSet:
    """Flat colour halves: easy to denoise."""
    random = np.random.default_rng(seed)
    pixels = np.empty((count, 8, 8, 3), np.uint8)
    pixels[:, :, :4] = random.integers(0, 256, (count, 1, 1, 3))
    pixels[:, :, 4:] = random.integers(0, 256, (count, 1, 1, 3))
    return ArrayImageSet(pixels, np.zeros(count, np.int64), name="halves")


def weights(path) -> dict[str, torch.Tensor]:
    return load_model(path).net.state_dict()


def stop_at(step: int):
    def on_step(info):
        if info.step == step:
            raise KeyboardInterrupt

    return on_step


def test_fit_learns_and_writes_what_it_did(tmp_path):
    out, steps = tmp_path / "net.safetensors", []
    settings = make_settings(
        iterations=150, learning_rate=1e-2, train_to=1500, ema_decay=0.9, checkpoint_every=0, plots=True
    )
    result = fit(make_set(), out=out, settings=settings, held_out=make_set(seed=1), on_step=steps.append)
    assert np.mean(result.losses[-20:]) < 0.75 * np.mean(result.losses[:5])
    assert [steps[0].step, steps[-1].step, steps[-1].total] == [1, 150, 150]
    strongest = result.errors[-1]
    assert strongest.psnr > strongest.psnr_noisy + 2

    header = read_header(out)
    assert (header.architecture, header.model.max_index, header.kind) == ("compact", 1500, "ema")
    assert header.settings["data"]["hash"] == make_set().content_hash
    torch.testing.assert_close(weights(out), result.model.net.state_dict())

    record = json.loads((tmp_path / "net.fit.json").read_text())
    assert record["settings"] == settings.model_dump(mode="json")
    assert record["losses"][-1][0] == 150
    assert [error["sigma_255"] for error in record["held_out"]] == pytest.approx([1.6, 3.2, 6.4, 12.8, 25.5, 51.0])
    pytest.importorskip("matplotlib")
    names = {"net.safetensors", "net.fit.json", "net.loss.png", "net.denoised.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_denoiser_learns_both_kinds_of_noise(tmp_path):
    settings = DenoiserSettings(
        arguments={"channels": 16, "blocks": [0, 2, 0]},
        patches=(8, 16),
        iterations=150,
        batch_size=16,
        learning_rate=1e-2,
        warmup=5,
        ema_decay=0.9,
        checkpoint_every=40,
        plots=False,
    )
    out = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(make_set(), out=out, settings=settings, on_step=stop_at(50))
    result = fit(make_set(), out=out, settings=settings, held_out=make_set(seed=1))
    whole = fit(make_set(), out=tmp_path / "whole.safetensors", settings=settings)
    assert result.losses == whole.losses
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert result.errors[-1].psnr > result.errors[-1].psnr_noisy + 2
    model, clean = load_model(out), to_float(make_set(seed=1).array())
    level = torch.full((len(clean),), 64 / 255)
    noisy = clean + 64 / 255 * ColouredNoise(Noise(0, "test", list(map(str, range(12)))), 1.0).normal(clean, "forward")
    with torch.no_grad():
        errors = [(model.denoise(noisy, level, field) - clean).square().mean() for field in (level, 0 * level)]
    assert errors[0] < 0.9 * errors[1]  # it knows a field is there, and does better for it
    with torch.no_grad():
        whole_numbers = quantise_denoiser(model, out).denoise(noisy, level, level)
        assert (whole_numbers - model.denoise(noisy, level, level)).square().mean() < 0.05 * errors[0]


def test_a_fit_starts_from_given_weights(tmp_path):
    small = {"arguments": {"channels": 8, "blocks": [0, 1, 0]}, "patches": (16,), "batch_size": 4, "plots": False}
    start = tmp_path / "start.safetensors"
    fit(make_set(), out=start, settings=DenoiserSettings(iterations=3, **small))
    settings = DenoiserSettings(iterations=1, start=str(start), **small)
    begun, known = new_network(settings, seed=1).state_dict(), load_model(start).net.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in known.items())
    fit(make_set(), out=tmp_path / "net.safetensors", settings=settings)
    record = json.loads((tmp_path / "net.fit.json").read_text())
    assert record["settings"]["start"] == "start.safetensors"
    assert record["start"] == hash_file(start)
    with pytest.raises(ModelError, match="did you mean 'pocket'"):
        fit(make_set(), out=tmp_path / "net.safetensors", settings=DenoiserSettings(start="pockett", **small))


def test_a_fit_on_perturbations_by_gradients_has_a_form_in_whole_numbers(tmp_path):
    small = {"arguments": {"channels": 8, "blocks": [0, 1, 0]}, "patches": (16,), "batch_size": 4, "plots": False}
    out = tmp_path / "net.safetensors"
    fit(make_set(), out=out, settings=DenoiserSettings(iterations=1, families=("gradients",), victims=0, **small))
    images, level = to_float(make_set().array()), torch.full((12,), 0.1)
    assert quantise_denoiser(load_model(out), out).denoise(images, level, level).isfinite().all()


def test_what_is_left_of_a_perturbation_is_pulled_to_nothing():
    def loss(batch, pull):
        settings = DenoiserSettings(start="pocket", arguments={"channels": 64, "blocks": [0, 3, 0]}, pull=pull, **small)
        task = build_objective(make_set(), settings, 0)
        with torch.no_grad():
            return task.loss(new_network(settings, 0), batch).item()

    small = {"families": ("grids",), "patches": (16,), "batch_size": 8, "precision": "fp32"}
    batch = build_objective(make_set(), DenoiserSettings(**small), 0).draw(0)
    alone, pulled = loss(batch, 0.0), loss(batch, 2.0)
    assert pulled > 1.01 * alone
    assert loss(batch, 4.0) - alone == pytest.approx(2 * (pulled - alone), rel=1e-3)
    same = replace(batch, shown=batch.clean)
    assert loss(same, 2.0) == pytest.approx(loss(same, 0.0), rel=1e-5)


def test_weights_of_another_network_are_refused(tmp_path):
    settings = DenoiserSettings(start="pocket", arguments={"channels": 8, "blocks": [0, 1, 0]})
    with pytest.raises(SettingsError, match="another network"):
        fit(make_set(), out=tmp_path / "net.safetensors", settings=settings)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_an_interrupted_fit_ends_in_the_same_bytes(tmp_path, dropout):
    settings = make_settings(dropout=dropout)
    whole = fit(make_set(), out=tmp_path / "whole.safetensors", settings=settings)
    out = tmp_path / "parts.safetensors"
    for step in (7, 11):
        with pytest.raises(KeyboardInterrupt):
            fit(make_set(), out=out, settings=settings, on_step=stop_at(step))
        assert checkpoint_path(out).exists()
        assert not out.exists()
    parts = fit(make_set(), out=out, settings=settings)
    assert parts.losses == whole.losses
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not checkpoint_path(out).exists()


def test_the_seed_decides_and_global_state_does_not(tmp_path):
    losses = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        settings = make_settings(iterations=2, dropout=0.2)
        losses.append(fit(make_set(), out=tmp_path / "net.safetensors", settings=settings, seed=seed).losses)
        assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("image_set", "settings", "seed"),
    [
        (make_set(), make_settings(learning_rate=1e-3), 0),
        (make_set(), make_settings(), 1),
        (make_set(seed=2), make_settings(), 0),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, image_set, settings, seed):
    out = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(make_set(), out=out, settings=make_settings(), on_step=stop_at(6))
    with pytest.raises(RunError, match="other settings, seed or data") as caught:
        fit(image_set, out=out, settings=settings, seed=seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    out = tmp_path / "net.safetensors"
    checkpoint_path(out).write_bytes(content)
    with pytest.raises(RunError, match="not a checkpoint"):
        fit(make_set(), out=out, settings=make_settings())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_a_checkpoint_on_a_full_disk_is_one_line(tmp_path, monkeypatch):
    @contextmanager
    def full(path):
        with writing(path):
            yield Path("/dev/full")

    monkeypatch.setattr("unpoison.fitting.checkpoints.atomic_path", full)
    with pytest.raises(DiskError, match=r"x\.checkpoint cannot be written \(No space left on device\)"):
        save_checkpoint(tmp_path / "x.checkpoint", {"net": torch.zeros(100_000)}, fingerprint="a")


def test_a_hostile_checkpoint_runs_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    out = tmp_path / "net.safetensors"
    torch.save({"weights": Hostile()}, checkpoint_path(out))
    with pytest.raises(RunError, match="not a checkpoint"):
        fit(make_set(), out=out, settings=make_settings())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("out", "settings", "message"),
    [
        ("net.pt", make_settings(), "safetensors"),
        ("net.safetensors", make_settings(arguments={"chanels": 8}), "chanels"),
        ("net.safetensors", make_settings(architecture="compakt"), "did you mean 'compact'"),
    ],
)
def test_wrong_requests_are_refused(tmp_path, out, settings, message):
    with pytest.raises(SettingsError, match=message):
        fit(make_set(), out=tmp_path / out, settings=settings)


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is no folder; choose another place"):
        fit(None, out=tmp_path / "file" / "net.safetensors")


def test_bfloat16_follows_fp32(tmp_path):
    losses = [
        fit(make_set(), out=tmp_path / f"{p}.safetensors", settings=make_settings(precision=p)).losses
        for p in ("fp32", "bf16")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)


TWO = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_diffusion import fit, make_set, make_settings
result = fit(make_set(), out=sys.argv[2], settings=make_settings(), device="cpu")
json.dump(result.losses, open(sys.argv[2] + "." + __import__("os").environ["RANK"] + ".json", "w"))
"""


@pytest.mark.parametrize("begun_natively", [True, False])
def test_a_fit_goes_on_in_the_precision_it_was_begun_in(processor, tmp_path, begun_natively):
    def stop(info):
        if info.step == 7:
            raise KeyboardInterrupt

    settings, out = make_settings(precision="auto"), tmp_path / "net.safetensors"
    processor({"avx512_bf16": begun_natively})
    with pytest.raises(KeyboardInterrupt):
        fit(make_set(), out=out, settings=settings, on_step=stop)
    processor({"avx512_bf16": not begun_natively})
    seen = []
    fit(make_set(), out=out, settings=settings, on_step=lambda info: seen.append(info.step))
    assert seen[0] == 6  # from the checkpoint of step 5
    precision = "bf16" if begun_natively else "fp32"
    assert json.loads((tmp_path / "net.fit.json").read_text())["settings"]["precision"] == precision


def test_two_processes_give_the_losses_of_one(tmp_path):
    one = fit(make_set(), out=tmp_path / "one.safetensors", settings=make_settings(), device="cpu")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "two.safetensors"
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", TWO, os.path.dirname(__file__), str(out)]
    ranks = [
        subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"})
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    for rank in range(2):
        losses = json.loads((tmp_path / f"two.safetensors.{rank}.json").read_text())
        np.testing.assert_allclose(losses, one.losses, atol=1e-3)
    torch.testing.assert_close(weights(out), weights(tmp_path / "one.safetensors"), atol=1e-3, rtol=1e-3)


def test_profile_eclipse_has_the_numbers_of_the_paper():
    settings = build_settings(FitSettings, profiles=["eclipse"], room="unpoison.fitting")
    known = {
        "architecture": "eclipse-unet",
        "schedule": "cosine",
        "schedule_steps": 4000,
        "train_to": 3999,
        "loss": "hybrid",
        "oversampling": 4,
        "iterations": 250_000,
        "batch_size": 128,
        "learning_rate": 1e-4,
        "decay": "constant",
        "warmup": 0,
        "weight_decay": 0,
        "grad_clip": 0,
        "ema_decay": 0.9999,
        "ema_warmup": False,
        "precision": "fp32",
        "flip": False,
        "shift": 0,
    }
    assert settings.model_dump(include=set(known)) == known


def test_profiles_are_complete_and_the_defaults_are_compact():
    assert {"compact", "digits", "eclipse", "pocket", "ddpm250-s", "ebm"} <= set(list_profiles("unpoison.fitting"))
    pocket = build_settings(DenoiserSettings, profiles=["pocket"], room="unpoison.fitting")
    assert pocket == DenoiserSettings(arguments=pocket.arguments)
    assert build_settings(FitSettings, profiles=["compact"], room="unpoison.fitting") == FitSettings(
        arguments={"channels": 64, "blocks": [1, 2, 1]}
    )


@pytest.mark.parametrize("changes", [{"train_to": 4000}, {"loss": "mse"}, {"batch_size": 0}, {"dropout": 1.0}])
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(SettingsError):
        build_settings(FitSettings, overrides=changes)


def test_learning_rate_rises_and_falls():
    settings = make_settings(iterations=100, warmup=10)
    factors = [rate_factor(settings, step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] > 0.97
    assert factors[-1] < 1e-3
    assert rate_factor(make_settings(decay="constant", warmup=0), 11) == 1


def test_thin_curve_keeps_the_mean():
    assert thin_curve([]) == []
    assert thin_curve([4.0, 2.0, 1.0], points=2) == [(2, 3.0), (3, 1.0)]
    assert len(thin_curve([1.0] * 1001)) <= 500

"""Fitting PureGen's DDPM[250]."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.settings import build_settings
from unpoison.fitting.diffusion import fit
from unpoison.fitting.processes import Processes
from unpoison.fitting.running import FitRun
from unpoison.fitting.settings import FitSettings
from unpoison.nets.weights import load_model, read_header
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings

CPU = torch.device("cpu")
TINY = {"channels": 4, "norm_groups": 2, "head_dim": 4}
SHORT = {"iterations": 3, "batch_size": 4, "plots": False, "checkpoint_every": 0}


def settings(profile: str, **changes) -> FitSettings:
    return build_settings(FitSettings, profiles=[profile], room="unpoison.fitting", overrides=changes)


@pytest.mark.parametrize(("size", "channels"), [("s", 32), ("m", 64), ("l", 128)])
def test_profiles_have_the_numbers_of_the_code(size, channels):
    known = {
        "architecture": "puregen-unet",
        "arguments": {"channels": channels},
        "schedule": "linear",
        "schedule_steps": 1000,
        "train_to": 249,
        "loss": "epsilon",
        "oversampling": 0,
        "batch_size": 256,
        "learning_rate": 1e-4,
        "decay": "cosine",
        "warmup": 500,
        "weight_decay": 0.01,
        "grad_clip": 0,
        "ema_decay": 0,
        "ema_warmup": False,
        "flip": False,
        "shift": 0,
    }
    assert settings(f"ddpm250-{size}").model_dump(include=set(known)) == known


def test_the_last_weights_are_saved_and_the_reach_is_kept(make_set, tmp_path):
    pytest.importorskip("diffusers")
    image_set, out = make_set(8, side=32), tmp_path / "m.safetensors"
    short = settings("ddpm250-s", arguments=TINY, warmup=0, **SHORT)
    losses = fit(image_set, out=out, settings=short, seed=0, device="cpu").losses
    run = FitRun(image_set, settings=short, seed=0, processes=Processes(0, 1, CPU))
    assert [run.step() for _ in range(3)] == losses
    model = load_model(out)
    assert all(
        torch.equal(value, model.net.state_dict()[name]) for name, value in run.net.state_dict().items()
    )  # no average
    assert read_header(out).kind == "raw"
    assert (model.max_index, model.learned_variance, model.time_scale) == (249, False, 1.0)
    with pytest.raises(ModelError, match="index 250 is outside what the model was trained for, 0 to 249"):
        model.predict(torch.zeros(1, 3, 32, 32), torch.tensor([250]))


def test_indices_are_drawn_from_the_first_250(make_set):
    run = FitRun(
        make_set(8, side=32),
        settings=settings(
            "ddpm250-small", arguments={"channels": 8, "learned_variance": False}, **SHORT | {"batch_size": 3000}
        ),
        seed=0,
        processes=Processes(0, 1, CPU),
    )
    index = run.objective.draw(0).index
    assert (index.min().item(), index.max().item()) == (0, 249)


def test_the_small_one_learns_and_serves_both_ways(make_set, tmp_path):
    out = tmp_path / "small.safetensors"
    arguments = {"channels": 8, "blocks": [1, 1, 1], "learned_variance": False}
    short = settings(
        "ddpm250-small",
        arguments=arguments,
        **SHORT | {"iterations": 40, "batch_size": 16, "warmup": 5, "learning_rate": 0.02},
    )
    losses = fit(make_set(64), out=out, settings=short, device="cpu").losses
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert read_header(out).kind == "ema"
    build_purifier(purifier_settings("puregen-ddpm", overrides={"model": str(out), "t": 250}), device=CPU)
    with pytest.raises(SettingsError, match="1 to 250"):
        build_purifier(purifier_settings("puregen-ddpm", overrides={"model": str(out), "t": 251}), device=CPU)
    build_purifier(
        purifier_settings("fast", overrides={"model": str(out), "sigma": "121/255", "field": "0"}), device=CPU
    )
    with pytest.raises(SettingsError, match=r"1\.28/255 to 121\.5/255"):
        build_purifier(purifier_settings("fast", overrides={"model": str(out), "sigma": "122/255"}), device=CPU)


def test_no_variance_is_taught_to_a_network_without(make_set, tmp_path):
    wrong = settings("ddpm250-small", arguments={"channels": 8, "learned_variance": False}, loss="hybrid", **SHORT)
    with pytest.raises(SettingsError, match="set loss=epsilon"):
        fit(make_set(8), out=tmp_path / "m.safetensors", settings=wrong, device="cpu")

"""PureGen's combinations: what they are made of, and which noise each part has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.noise import Noise
from unpoison.dynamics.forward_reverse import forward_reverse
from unpoison.dynamics.langevin import langevin
from unpoison.nets.weights import load_any
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings

CPU = torch.device("cpu")
NOISE = Noise(0, "purify", ["a", "b"])


@pytest.fixture
def images():
    # Close to the ends of the range, so that Langevin noise leaves it.
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).round()


@pytest.fixture
def files(tiny_ddpm, tiny_energy):
    return {"model": str(tiny_ddpm), "energy": str(tiny_energy), "precision": "fp32"}


def build(method: str, **fields):
    return build_purifier(purifier_settings(method, overrides=fields), device=CPU)


def load(path: str):
    """A model laid out in memory as purifiers have it: other orders of summing differ in the last bits."""
    return load_any(Path(path)).to(memory_format=torch.channels_last)


def once(images, files, *, name: str, langevin_steps: int, t: int):
    """EBM, then DDPM, by hand; nothing is clamped between the two."""
    energy, model = (load(files[name]) for name in ("energy", "model"))
    noise = NOISE.child(name) if name else NOISE
    moved = (langevin(2 * images - 1, energy, steps=langevin_steps, noise=noise.child("ebm")) + 1) / 2
    assert moved.min() < 0
    return forward_reverse(moved, model, t=t, noise=noise.child("ddpm"))


@torch.no_grad()
def test_naive_is_ebm_then_ddpm(images, files):
    purifier = build("puregen-naive", **files, langevin_steps=3, t=4)
    by_hand = once(images, files, name="", langevin_steps=3, t=4)
    assert torch.equal(purifier.purify(images, noise=NOISE), by_hand.clamp(0, 1))


@torch.no_grad()
def test_reps_repeats_it_with_new_noise(images, files):
    purifier = build("puregen-reps", **files, langevin_steps=2, t=3, reps=2)
    first = once(images, files, name="rep1", langevin_steps=2, t=3).clamp(0, 1)
    energy, model = (load(files[name]) for name in ("energy", "model"))
    noise = NOISE.child("rep2")
    moved = (langevin(2 * first - 1, energy, steps=2, noise=noise.child("ebm")) + 1) / 2
    second = forward_reverse(moved, model, t=3, noise=noise.child("ddpm")).clamp(0, 1)
    assert torch.equal(purifier.purify(images, noise=NOISE), second)


@torch.no_grad()
def test_reverse_only_leaves_the_forward_noise_out(images, files):
    model = {"model": files["model"], "precision": "fp32"}
    whole, restored = (build("puregen-ddpm", **model, t=1, reverse_only=value) for value in (False, True))
    assert whole.strength_255 > 0
    assert restored.strength_255 is None
    other = Noise(1, "purify", NOISE.ids)
    # With t = 1 the only noise is that of the way forward.
    assert torch.equal(restored.purify(images, noise=NOISE), restored.purify(images, noise=other))
    assert not torch.equal(whole.purify(images, noise=NOISE), whole.purify(images, noise=other))


def test_few_calls(images, files):
    purifier = build("puregen-ddpm", model=files["model"], t=75, steps=4)
    calls = []
    with torch.inference_mode():
        purifier.purify(images, noise=NOISE, on_step=calls.append)
    assert [info.step for info in calls] == [0, 1, 2, 3, 4]
    assert purifier.strength_255 == pytest.approx(32.9, abs=0.05)
    # The same model serves `fast`, at the noise of t = 75, in one call.
    fast = build("fast", model=files["model"], sigma="33/255", field="0")
    with torch.inference_mode():
        assert fast.purify(images, noise=NOISE).shape == images.shape


def test_what_is_missing_or_too_far_is_said(files, tiny_model, tiny_energy, tmp_path):
    with pytest.raises(ModelError, match=r"no-such-file\.safetensors"):
        build("puregen-reps", model=files["model"], energy=str(tmp_path / "no-such-file.safetensors"))
    with pytest.raises(ModelError, match="energy model"):
        build("puregen-ddpm", model=files["energy"])
    with pytest.raises(SettingsError, match="t=251 is outside what the model was trained for, 1 to 250"):
        build("puregen-ddpm", model=files["model"], t=251)
    with pytest.raises(SettingsError, match="both 0"):
        build("puregen-filt", **files, langevin_steps=0, t=0)
    with pytest.raises(SettingsError, match="langevin_steps"):
        build("puregen-naive", **files, langevin_steps=0)
    (tmp_path / "other").mkdir()
    namesake = shutil.copy(tiny_energy, tmp_path / "other" / tiny_model.name)
    with pytest.raises(ModelError, match=f"two different weight files are named {tiny_model.name}"):
        build("puregen-naive", model=str(tiny_model), energy=str(namesake))


def test_profiles_have_the_published_counts():
    for profile, langevin_steps, t in (
        ("scratch", 150, 75),
        ("linear", 500, 125),
        ("fine-tune", 1000, 125),
        ("strong", 750, 125),
    ):
        naive = purifier_settings("puregen-naive", profiles=[profile])["puregen-naive"]
        assert (naive.langevin_steps, naive.t, naive.temperature) == (langevin_steps, t, 1e-4)
        assert purifier_settings("puregen-ddpm", profiles=[profile])["puregen-ddpm"].t == t
    reps = purifier_settings("puregen-reps", profiles=["strong"])["puregen-reps"]
    assert (reps.langevin_steps, reps.t, reps.reps) == (10, 50, 5)
    filt = purifier_settings("puregen-filt", profiles=["strong"])["puregen-filt"]
    assert (filt.fraction, filt.langevin_steps, filt.t) == (0.5, 0, 125)


def test_a_data_key_is_a_method():
    (name, settings) = next(iter(purifier_settings("EBM[Steps[30]]_DDPM[T[20]]_reps4").items()))
    assert name == "puregen-reps"
    assert (settings.langevin_steps, settings.t, settings.reps) == (30, 20, 4)
    chain = purifier_settings("JPEG[85]_EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[7]_T[0.0002]")
    assert list(chain) == ["jpeg", "puregen-ebm"]
    assert (chain["jpeg"].quality, chain["puregen-ebm"].steps, chain["puregen-ebm"].temperature) == (85, 7, 2e-4)
    assert purifier_settings("DDPM[T[20]]", overrides={"steps": 4})["puregen-ddpm"].steps == 4
    with pytest.raises(SettingsError, match="no data key of PureGen"):
        purifier_settings("EBM[Steps[x]]")

"""AVATAR's operator on the networks that there are, and one-call denoising as a profile of `fast`."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.data import read
from unpoison.nets.schedules import cosine_abar
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.purifiers.weights import load_network

CPU = torch.device("cpu")


def build(method: str, *profiles: str, **fields: object):
    return build_purifier(
        purifier_settings(method, profiles=profiles, overrides={"precision": "fp32", **fields}), device=CPU
    )


def test_the_defaults_are_the_published_ones():
    published = build("avatar")
    assert published.steps == 100
    assert published.strength_255 == pytest.approx(43.4, abs=0.1)
    assert build("avatar", t=0.075).steps == 75


@pytest.mark.parametrize("model", ["pocket", "ddpm250-small"])
@torch.inference_mode()
def test_it_removes_noise_with_models_of_either_kind(model):
    images = to_float(read("digits#train[:4]").array()) * 0.4 + 0.3
    noise = Noise(0, "test", list("abcd"))
    noisy = images + 0.1 * noise.normal(images, "other")
    purified = build("avatar", model=model, t=0.05, steps=50).purify(noisy.clamp(0, 1), noise=noise)
    assert (purified - images).square().mean() < (noisy - images).square().mean()


def test_a_model_must_know_the_noise_and_be_one_of_noise(tiny_energy):
    with pytest.raises(SettingsError, match=r"t=0.5 is noise of \d+.*choose another t"):
        build("avatar", t=0.5)
    with pytest.raises(ModelError, match="energy model"):
        build("avatar", model=str(tiny_energy))


@torch.inference_mode()
def test_one_shot_is_carlinis_conversion(tiny_model):
    purifier = build("fast", "one-shot", model=str(tiny_model))
    images, noise = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), Noise(0, "test", ["a", "b"])
    seen: list = []
    purified = purifier.purify(images, noise=noise, on_step=seen.append)
    assert len(seen) == 2, "one call"
    # sigma 0.25 on [0, 1] is 0.5 on [-1, 1]: abar 0.8, the 1159th level of cosine-4000
    index = int((cosine_abar() - 0.8).abs().argmin())
    assert index + 1 == 1159
    noisy = images + 0.25 * noise.normal(images, "forward")
    model, _ = load_network(str(tiny_model), method="fast", precision="fp32", device=CPU)
    x0, _ = model.predict(0.8**0.5 * (2 * noisy - 1), torch.full((2,), float(index)))
    assert torch.allclose(purified, ((x0 + 1) / 2).clamp(0, 1), atol=1e-3)

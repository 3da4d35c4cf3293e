"""The default purifier: noise of two colours, few calls."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.noise import Noise
from unpoison.core.settings import bound_value
from unpoison.dynamics.fields import ColouredNoise
from unpoison.nets.denoiser import CallableDenoiser
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.weights import save_model
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.fast import FastPurifier, FastSettings
from unpoison.purifiers.settings import purifier_settings

CPU = torch.device("cpu")


@pytest.fixture
def pocket(tmp_path):
    """A random network of the shipped kind, small."""
    arguments = {"channels": 8, "blocks": [0, 1, 0]}
    torch.manual_seed(0)
    net = PocketUNet(**arguments)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model = PreconditionedDenoiser(net, sigma_min=2 / 255, sigma_max=100 / 255, field_max=64 / 255)
    path = tmp_path / "pocket.safetensors"
    save_model(path, model, architecture="pocket", arguments=arguments, kind="ema", settings={})
    return str(path)


def build(**fields):
    return build_purifier(purifier_settings("fast", overrides=fields), device=CPU)


def noise(count=2):
    return Noise(0, "purify", [str(row) for row in range(count)])


class Counter:
    """Counts its calls and remembers the noise levels; its answer is grey."""

    def __init__(self):
        self.sigmas = []

    def __call__(self, x, sigma):
        self.sigmas.append(round(255 * sigma[0].item(), 3))
        return torch.full_like(x, 0.5)


@pytest.mark.parametrize(
    ("sampler", "steps", "calls"), [("ddim", 1, 1), ("ddim", 4, 4), ("heun", 1, 1), ("heun", 3, 5)]
)
def test_steps_are_network_calls(sampler, steps, calls):
    counter = Counter()
    settings = FastSettings(sigma="20/255", steps=steps, sampler=sampler)
    purifier = FastPurifier(settings, device=CPU, denoiser=CallableDenoiser(counter, 2 / 255, 0.4))
    purifier.purify(torch.rand(2, 3, 8, 8), noise=noise())
    assert len(counter.sigmas) == calls
    assert counter.sigmas[0] == 20
    if steps > 1:
        assert counter.sigmas[-1] == 2


def test_a_field_changes_the_image_and_the_network_is_told(pocket):
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        purified = {
            field: build(model=pocket, sigma="12/255", field=field, precision="fp32").purify(images, noise=noise())
            for field in ("0", "32/255")
        }
        purifier = build(model=pocket, sigma="12/255", precision="fp32")
        told = purifier.denoiser.denoiser
        sigma, ratio = torch.full((2,), 12 / 255), 32 / 12
        noisy = images + 12 / 255 * ColouredNoise(noise(), ratio).normal(images, "forward")
        expected = told.denoise(noisy, sigma, ratio * sigma).clamp(0, 1)
    assert not torch.allclose(purified["0"], purified["32/255"], atol=0.02)
    torch.testing.assert_close(purified["32/255"], expected, rtol=0, atol=1e-5)


def test_a_model_that_knows_no_fields_leaves_them_in():
    images = torch.full((2, 3, 16, 16), 0.5)
    keeps = CallableDenoiser(lambda x, sigma: x, 2 / 255, 0.4)
    settings = FastSettings(sigma="2/255", field="32/255")
    purified = FastPurifier(settings, device=CPU, denoiser=keeps).purify(images, noise=noise())
    assert 255 * (purified - images).std() > 20


def test_halo_grows_with_the_calls(pocket, tiny_model):
    reach = PocketUNet(channels=8, blocks=[0, 1, 0]).reach
    assert build(model=pocket).halo == reach
    assert build(model=pocket, steps=2).halo == 2 * reach
    assert build(model=pocket, steps=2, sampler="heun").halo == 3 * reach
    assert build(model=str(tiny_model), sigma="10/255").halo == 23  # a network of blocks 1-1-1 over indices
    unknown = CallableDenoiser(lambda x, sigma: x, 2 / 255, 0.4)
    assert FastPurifier(FastSettings(), device=CPU, denoiser=unknown).halo is None


def test_noise_outside_the_training_is_refused(pocket):
    for wrong in ({"sigma": "1/255"}, {"sigma": "120/255"}):
        with pytest.raises(SettingsError, match=r"outside what .* was trained for"):
            build(model=pocket, **wrong)
    with pytest.raises(SettingsError, match="field"):
        build(model=pocket, field="80/255")


def test_eclipse_refuses_a_network_without_a_schedule(pocket):
    with pytest.raises(ModelError, match="steps of a schedule"):
        build_purifier(purifier_settings("eclipse", overrides={"model": pocket}), device=CPU)


def test_profiles_set_the_strength_and_normal_is_the_default():
    found = {name: purifier_settings("fast", profiles=[name])["fast"] for name in ("light", "normal", "strong")}
    assert found["normal"] == FastSettings()
    noise_of = {name: bound_value(settings.sigma) for name, settings in found.items()}
    assert noise_of["light"] < noise_of["normal"] < noise_of["strong"]
    for settings in found.values():
        FastPurifier(settings, device=CPU)  # the denoiser in the package is good for all of them

"""PureGen-EBM on energies that are known, and the energies of a set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unpoison import purify
from unpoison.core.device import same_bits
from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float, to_uint8
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.weights import save_model
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

CPU = torch.device("cpu")
WEIGHT = 0.2


@pytest.fixture(autouse=True)
def one_core():
    """As in a run: small networks on two cores wait for each other, and forever where others compute too."""
    with same_bits(torch.device("cpu")):
        yield


@pytest.fixture(scope="module")
def grey_model(tmp_path_factory):
    """Weights whose energy is known: 0.2 times the mean distance of 4x4 means from grey, summed over the colours."""
    net = SnganEnergy(6)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.block1.c_sc.weight[:, :, 0, 0] = torch.cat([torch.eye(3), -torch.eye(3)])
        net.block2.c_sc.weight[:, :, 0, 0] = torch.eye(6)
        net.l5.weight.fill_(WEIGHT)
    path = tmp_path_factory.mktemp("models") / "grey.safetensors"
    save_model(path, PixelEnergy(net), architecture="sngan-energy", arguments={"width": 6}, kind="raw", settings={})
    return str(path)


def build(**overrides):
    return build_purifier(purifier_settings("puregen-ebm", overrides=overrides), device=CPU)


def noise_for(count: int, seed: int = 0) -> Noise:
    return Noise(seed, "test", [str(row) for row in range(count)])


def test_the_way_to_known_energy(grey_model):
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = build(model=grey_model, precision="fp32", steps=20, temperature=1e-6)
    energy = WEIGHT * F.avg_pool2d(2 * images - 1, 4).abs().mean(dim=(2, 3)).sum(dim=1)
    torch.testing.assert_close(model.model.energy(images), energy)
    x = 2 * images - 1
    for step in range(1, 21):
        pull = F.interpolate(F.avg_pool2d(x, 4).sign(), scale_factor=4) * WEIGHT / 256
        x = x - 1.25e-2**2 / 2e-6 * pull + 1.25e-2 * noise_for(4).normal(x, step)
    purified = model.purify(images, noise=noise_for(4))
    torch.testing.assert_close(purified, ((x + 1) / 2).clamp(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_purified_images_have_lower_energy(grey_model, precision):
    purifier = build(model=grey_model, temperature=1e-6, precision=precision, steps=40)
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)).pow(2)
    purified = purifier.purify(images, noise=noise_for(6))
    assert (purifier.model.energy(purified) < purifier.model.energy(images)).all()


def test_bf16_is_close_to_fp32(tiny_energy):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    exact, rough = (
        build(model=str(tiny_energy), temperature=1e-5, precision=precision, steps=50).purify(
            images, noise=noise_for(4)
        )
        for precision in ("fp32", "bf16")
    )
    still = build(model=str(tiny_energy), temperature=1e6, precision="fp32", steps=50)
    drift = (exact - still.purify(images, noise=noise_for(4))).square().mean().sqrt()
    assert (exact - rough).square().mean().sqrt() < 0.05 * drift
    assert not torch.equal(exact, rough)


def test_values_are_clamped_and_do_not_wrap(grey_model):
    images = torch.cat([torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)])
    moved = build(model=grey_model, steps=30).move(images, noise=noise_for(2))
    assert moved.max() > 1 + 1 / 255
    assert moved.min() < -1 / 255
    white, black = to_uint8(build(model=grey_model, steps=30).purify(images, noise=noise_for(2)))
    assert white.min() > 180
    assert black.max() < 75
    assert white.max() == 255
    assert black.min() == 0


def test_the_same_bytes_however_a_set_is_split(make_set, tiny_energy):
    image_set = make_set(21, side=32)
    settings = purifier_settings("puregen-ebm", overrides={"model": str(tiny_energy), "steps": 4})
    run = PurifyRun(settings, seed=3, microbatch=8)
    whole = purify_in_memory(image_set, run)[0].array()
    parts = [purify_in_memory(image_set.subset(rows), run)[0].array() for rows in (range(10), range(10, 21))]
    assert np.array_equal(whole, np.concatenate(parts))
    with torch.inference_mode():  # the model is loaded under it too
        again = purify(image_set.array()[:3], "puregen-ebm", model=str(tiny_energy), steps=4, seed=3)
    assert again.shape == (3, 32, 32, 3)
    assert not np.array_equal(again, image_set.array()[:3])


def test_strength_is_that_of_the_noise_alone(tiny_energy):
    model = str(tiny_energy)
    assert build(model=model).strength_255 == pytest.approx(19.52, abs=0.01)
    images = torch.full((4, 3, 32, 32), 0.5)
    still = build(model=model, temperature=1e6)
    noisy = still.purify(images, noise=noise_for(4))
    assert 255 * noisy.std().item() == pytest.approx(still.strength_255, rel=0.03)


def test_profiles_are_of_their_purifier(tmp_path):
    def steps(*profiles, **overrides):
        return purifier_settings("puregen-ebm", profiles=profiles, overrides=overrides)["puregen-ebm"].steps

    published = {"scratch": 150, "linear": 500, "fine-tune": 1000, "strong": 750}
    assert {name: steps(name) for name in published} == published
    assert steps("strong", "linear") == 500
    assert steps("strong", steps=7) == 7
    own = tmp_path / "own.toml"
    own.write_text("steps = 11\n")
    assert steps("strong", str(own)) == 11
    assert purifier_settings("fast", profiles=["strong"])["fast"].sigma == "40/255"
    with pytest.raises(SettingsError, match=r"no profile 'light'; .*hoose from fine-tune, linear, scratch, strong"):
        steps("light")
    with pytest.raises(SettingsError, match="jpeg has no profile 'light'; it has none"):
        purifier_settings("jpeg", profiles=["light"])


def test_wrong_models_are_refused(tiny_model, tiny_energy):
    with pytest.raises(ModelError, match="unpoison fit ebm"):
        build(model="")
    with pytest.raises(ModelError, match=r"needs an energy model, and .*tiny\.safetensors is a diffusion model"):
        build(model=str(tiny_model))
    for method in ("fast", "eclipse"):
        with pytest.raises(ModelError, match=r"needs a diffusion model, and .*energy\.safetensors is an energy model"):
            build_purifier(purifier_settings(method, overrides={"model": str(tiny_energy)}), device=CPU)


def test_images_that_are_driven_out_of_bounds_are_no_result(grey_model):
    purifier = build(model=grey_model, steps=3, temperature=1e-300)
    with pytest.raises(ModelError, match="out of all bounds"):
        purifier.purify(torch.rand(2, 3, 16, 16), noise=noise_for(2))


def test_energies_of_a_set_do_not_depend_on_how_it_is_split(make_set, tiny_energy):
    image_set = make_set(150, side=32)
    model = build(model=str(tiny_energy), precision="fp32").model
    told = []
    whole = measure_energies(image_set, model, device=CPU, on_step=told.append)
    parts = [measure_energies(image_set.subset(rows), model, device=CPU) for rows in (range(70), range(70, 150))]
    assert np.array_equal(whole, np.concatenate(parts))
    with torch.inference_mode():
        one_by_one = [model.energy(to_float(image_set.array()[row : row + 1])).item() for row in (0, 149)]
    assert whole[[0, 149]] == pytest.approx(one_by_one, rel=1e-4)
    assert [(info.step, info.total) for info in told] == [(150, 150)]


def test_energies_that_are_no_numbers_are_refused(make_set):
    class Broken:
        autocast_dtype = None

        def energy(self, x):
            energies = x.flatten(1).mean(dim=1)
            energies[2] = torch.nan
            return energies

    image_set = make_set(5)
    assert isinstance(image_set, ArrayImageSet)
    with pytest.raises(ModelError, match=f"1 of 5 pictures no finite energy, first '{image_set.ids[2]}'"):
        measure_energies(image_set, Broken(), device=CPU)

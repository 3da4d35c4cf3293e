"""The weights that come with the package: what they are, and that their cards say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from unpoison.core.hashing import hash_file
from unpoison.dynamics.forward_reverse import forward_sigma
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.shipped import SHIPPED, weights_path
from unpoison.nets.weights import load_any, load_model, read_header

ROOT = Path(__file__).parents[1]
CARDS = weights_path("pocket").with_name("README.md").read_text()


def record_of(name):
    return json.loads((ROOT / "results" / name / f"{name}.fit.json").read_text())


def card_of(name):
    (card,) = (part for part in CARDS.split("\n## ") if part.startswith(f"`{name}`"))
    return card


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_are_those_of_the_record(name):
    record = record_of(name)
    assert hash_file(weights_path(name)) == record["weights"]
    assert read_header(weights_path(name)).settings["data"] == record["data"]
    assert weights_path(name).stat().st_size < 8_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_card_says_of_the_network_and_its_fit(name):
    model, record, card = load_any(weights_path(name)), record_of(name), card_of(name)
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters" in card
    assert f"`{record['settings']['architecture']}`" in card
    assert f"{record['settings']['iterations']:,} {'updates' if name == 'ebm-small' else 'steps'}" in card
    assert f"{record['settings']['batch_size']} p" in card  # patches or pictures


@pytest.mark.parametrize("name", ["pocket", "pocket-free", "ddpm250-small"])
def test_the_card_shows_the_errors_of_the_record(name):
    rows = []
    for error in record_of(name)["held_out"]:
        values = (error["sigma_255"], 255 * error["mse"] ** 0.5, error["psnr_noisy"], error["psnr"])
        rows.append("| {:.1f} | {:.2f} | {:.1f} | {:.1f} |".format(*values))
    assert len(rows) >= 5
    assert "\n".join(rows) in card_of(name)


def test_the_range_of_noise():
    pocket, ddpm = load_model(weights_path("pocket")), load_model(weights_path("ddpm250-small"))
    assert f"{pocket.net.reach} pixels to each side" in card_of("pocket")
    assert f"sigma {255 * pocket.sigma_min:.0f}/255 to {255 * pocket.sigma_max:.0f}/255" in card_of("pocket")
    assert f"index 0 to {ddpm.max_index}" in card_of("ddpm250-small")
    assert f"sigma up to {255 * forward_sigma(ddpm, t=ddpm.max_index):.0f}/255" in card_of("ddpm250-small")


@pytest.mark.parametrize("name", ["pocket", "pocket-free", "ddpm250-small"])
def test_it_denoises_a_picture_it_cannot_have_seen(name):
    ramp = torch.linspace(0.2, 0.8, 64)
    clean = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).T, ramp.flip(0).expand(64, 64)])[None]
    sigma = torch.tensor([25 / 255])
    noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        denoised = as_denoiser(load_model(weights_path(name))).denoise(noisy, sigma)
    assert (denoised - clean).square().mean().sqrt() < 0.25 * sigma


def test_the_energy_model_finds_noise_less_natural():
    ramp = torch.linspace(0.2, 0.8, 32)
    clean = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, ramp.flip(0).expand(32, 32)])[None]
    noise = torch.randn((8, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        energies = [load_any(weights_path("ebm-small")).energy(clean + level * noise) for level in (0, 0.03, 0.1)]
    assert energies[0].max() < energies[1].min()
    assert energies[1].max() < energies[2].min()

"""The weights that come with the package: what they are, and that their card says so."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from unpoison.core.hashing import hash_file
from unpoison.nets.weights import load_model, read_header
from unpoison.purifiers.networks import weights_path

ROOT = Path(__file__).parents[1]
RECORD = json.loads((ROOT / "results" / "pocket" / "pocket.fit.json").read_text())
CARD = weights_path("pocket").with_name("README.md").read_text()


def test_the_weights_are_those_of_the_record():
    assert hash_file(weights_path("pocket")) == RECORD["weights"]
    assert read_header(weights_path("pocket")).settings["data"] == RECORD["data"]
    assert weights_path("pocket").stat().st_size < 8_000_000


def test_the_card_shows_the_errors_of_the_record():
    rows = []
    for error in RECORD["held_out"]:
        values = (error["sigma_255"], 255 * error["mse"] ** 0.5, error["psnr_noisy"], error["psnr"])
        rows.append("| {:.1f} | {:.2f} | {:.1f} | {:.1f} |".format(*values))
    assert len(rows) >= 5
    assert "\n".join(rows) in CARD


def test_what_the_card_says_of_the_network():
    model = load_model(weights_path("pocket"))
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters" in CARD
    assert f"{model.net.reach} pixels to each side" in CARD
    assert f"sigma {255 * model.sigma_min:.0f}/255 to {255 * model.sigma_max:.0f}/255" in CARD


def test_it_denoises_a_picture_it_cannot_have_seen():
    ramp = torch.linspace(0.2, 0.8, 64)
    clean = torch.stack([ramp.expand(64, 64), ramp.expand(64, 64).T, ramp.flip(0).expand(64, 64)])[None]
    sigma = torch.tensor([25 / 255])
    noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        denoised = load_model(weights_path("pocket")).denoise(noisy, sigma)
    assert (denoised - clean).square().mean().sqrt() < 0.25 * sigma

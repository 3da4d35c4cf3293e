from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.protocols import Denoiser


def make_net(**arguments) -> PocketUNet:
    torch.manual_seed(0)
    net = PocketUNet(**{"channels": 16, **arguments})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


class Recorder(torch.nn.Module):
    """Gives back what it gets, and remembers it."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x, sigma, field):
        self.seen.append(x)
        return x


def make_denoiser(net=None, **taught) -> PreconditionedDenoiser:
    levels = {"sigma_min": 2 / 255, "sigma_max": 100 / 255, "field_max": 64 / 255, **taught}
    return PreconditionedDenoiser(net or make_net(), **levels)


@pytest.mark.parametrize("blocks", [(1, 2, 1), (0, 3, 0), (2, 0, 1)])
def test_reach_is_how_far_a_pixel_is_seen(blocks):
    net = make_net(blocks=blocks)
    x = torch.randn(1, 3, 128, 8)
    spread = 0
    for row in range(60, 64):  # the four places a pixel can have within a cell of quarter resolution
        other = x.clone()
        other[:, :, row] += 1
        changed = (net(other, torch.ones(1), torch.ones(1)) != net(x, torch.ones(1), torch.ones(1))).any(dim=1)
        rows = changed[0].any(dim=1).nonzero()
        spread = max(spread, row - int(rows.min()), int(rows.max()) - row)
    assert spread <= net.reach <= spread + 3


def test_a_tile_with_its_halo_equals_the_whole():
    net, halo = make_net(blocks=(0, 3, 0)), 32
    assert net.reach <= halo
    x, level = torch.randn(1, 3, 32, 256), torch.tensor([0.1])
    whole = net(x, level, level)
    tile = net(x[..., 64 - halo : 128 + halo], level, level)[..., halo : halo + 64]
    torch.testing.assert_close(tile, whole[..., 64:128], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_both_noise_levels_matter(which):
    net, x = make_net(), torch.randn(1, 3, 16, 16)
    levels = [torch.tensor([0.1]), torch.tensor([0.1])]
    before = net(x, *levels)
    levels[which] = torch.tensor([0.11])
    assert (net(x, *levels) - before).abs().max() > 1e-3


@pytest.mark.parametrize("perturbation", [0.0, 10 / 255])
def test_target_is_what_makes_denoise_exact(perturbation):
    torch.manual_seed(0)
    clean, noise = torch.rand(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    sigma, field = torch.tensor([2.0, 12, 40, 100]) / 255, torch.tensor([0.0, 32, 0, 64]) / 255
    x = clean + (sigma + field).view(-1, 1, 1, 1) * noise
    denoiser = make_denoiser(torch.nn.Identity(), perturbation=perturbation)
    target = denoiser.target(clean, x, sigma, field)
    denoiser.estimate = lambda *_: target
    torch.testing.assert_close(denoiser.denoise(x, sigma, field), clean, rtol=0, atol=1e-5)


def test_target_and_input_have_unit_variance_on_data_of_the_assumed_spread():
    torch.manual_seed(0)
    clean = 0.5 + 0.25 * torch.randn(64, 3, 32, 32)
    for level in (2 / 255, 25 / 255, 100 / 255):
        sigma, none = torch.full((64,), level), torch.zeros(64)
        x = clean + level * torch.randn_like(clean)
        assert make_denoiser().target(clean, x, sigma, none).var().item() == pytest.approx(1, abs=0.03)
        seen = []
        make_denoiser(Recorder(seen)).estimate(x, sigma, none)
        assert seen[0].var().item() == pytest.approx(1, abs=0.03)


def test_a_perturbation_counts_as_white_noise():
    net, x = make_net(), torch.rand(2, 3, 8, 8)
    taught, plain = make_denoiser(net, perturbation=8 / 255), make_denoiser(net)
    sigma, field = torch.full((2,), 6 / 255), torch.full((2,), 5 / 255)
    expected = plain.denoise(x, torch.full((2,), 10 / 255), field)
    torch.testing.assert_close(taught.denoise(x, sigma, field), expected)


def test_noise_it_was_not_trained_for_is_refused():
    denoiser, x = make_denoiser(), torch.rand(2, 3, 8, 8)
    assert isinstance(denoiser, Denoiser)
    for sigma in (1 / 255, 101 / 255):
        with pytest.raises(ModelError, match="outside what the model was trained for"):
            denoiser.denoise(x, torch.full((2,), sigma))
    with pytest.raises(ModelError, match="smooth field"):
        denoiser.denoise(x, torch.full((2,), 0.1), torch.full((2,), 65 / 255))


def test_with_field_keeps_the_colour_at_every_level():
    denoiser, x = make_denoiser(), torch.rand(2, 3, 8, 8)
    sigma = torch.tensor([0.05, 0.1])
    assert torch.equal(denoiser.with_field(2.0).denoise(x, sigma), denoiser.denoise(x, sigma, 2 * sigma))
    assert torch.equal(denoiser.denoise(x, sigma), denoiser.denoise(x, sigma, torch.zeros(2)))

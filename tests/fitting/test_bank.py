"""The bank of chains: its size and start, what is drawn and put back, and how often chains start again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.core.noise import generator
from unpoison.fitting.bank import Bank, rejuvenate


def flat_pixels(*levels: int) -> torch.Tensor:
    """[N, 4, 4, 3] uint8, each picture of one level."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 4, 4, 3)


def make_bank(size: int, *, noise: float = 0.0) -> Bank:
    return Bank.from_data(flat_pixels(0, 255), size=size, noise=noise, generator=generator(0, "test"))


def test_it_starts_at_the_data_each_as_often_as_any_other():
    bank = make_bank(10)
    assert bank.images.shape == (10, 3, 4, 4)
    assert sorted(bank.images[:, 0, 0, 0].tolist()) == [-1] * 5 + [1] * 5


def test_its_start_carries_the_data_noise():
    noise = make_bank(400, noise=0.015).images.float().abs() - 1
    assert noise.std().item() == pytest.approx(0.015, rel=0.05)
    assert abs(noise.mean().item()) < 1e-3


def test_chains_are_drawn_once_and_put_back_where_they_were():
    bank = make_bank(10)
    before = bank.images.clone()
    slots, chains = bank.draw(4, generator=generator(0, "draw"))
    assert len(set(slots.tolist())) == 4
    assert chains.dtype == torch.float32
    moved = chains + torch.arange(4.0).view(-1, 1, 1, 1) + 1
    bank.write(slots, moved)
    assert len(bank) == 10
    assert torch.equal(bank.images[slots].float(), moved)
    untouched = np.setdiff1d(np.arange(10), slots)
    assert torch.equal(bank.images[untouched], before[untouched])


def test_half_precision_is_finer_than_a_langevin_step():
    bank, images = make_bank(64), torch.empty(64, 3, 4, 4).uniform_(-2, 2, generator=generator(0, "images"))
    bank.write(torch.arange(64), images)
    assert (bank.images.float() - images).abs().max() < 0.0125 / 20


def test_every_chain_has_its_turn():
    bank = make_bank(10)
    random = generator(0, "draw")
    drawn = torch.cat([bank.draw(5, generator=random)[0] for _ in range(200)])
    assert torch.bincount(drawn, minlength=10).numpy() == pytest.approx(np.full(10, 100), abs=30)


def test_chains_start_again_at_the_stated_rate():
    chains, data = torch.zeros(4000, 1, 2, 2), torch.ones(4000, 1, 2, 2)
    fresh = rejuvenate(chains, data, rate=0.05, generator=generator(0, "again"))
    assert set(fresh.mean(dim=(1, 2, 3)).tolist()) == {0.0, 1.0}  # a chain starts again as a whole or not at all
    assert fresh.mean().item() == pytest.approx(0.05, abs=0.012)
    assert torch.equal(rejuvenate(chains, data, rate=0.0, generator=generator(0, "again")), chains)
    assert torch.equal(rejuvenate(chains, data, rate=1.0, generator=generator(0, "again")), data)

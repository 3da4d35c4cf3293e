"""What a fit of an energy model asks of its network and of its device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.settings import build_settings
from unpoison.fitting.energy import fit_energy
from unpoison.fitting.settings import EnergySettings


def test_a_network_that_gives_no_energy_is_refused():
    with pytest.raises(SettingsError, match="architecture"):
        build_settings(EnergySettings, overrides={"architecture": "compact"})
    assert build_settings(EnergySettings, overrides={"architecture": "conv-energy"}).architecture == "conv-energy"


def test_convolutions_are_the_same_every_time(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    settings = EnergySettings(
        arguments={"width": 4}, iterations=1, batch_size=4, bank_size=8, langevin_steps=1, plots=False
    )
    seen = []
    fit_energy(
        ArrayImageSet(pixels, np.zeros(8, np.int64)),
        out=tmp_path / "net.safetensors",
        settings=settings,
        on_step=lambda _: seen.append(torch.backends.cudnn.deterministic),
    )
    assert seen == [True]
    assert not torch.backends.cudnn.deterministic

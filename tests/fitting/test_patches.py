from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.data import read
from unpoison.fitting.inspecting import to_show
from unpoison.fitting.patches import PatchBatches
from unpoison.fitting.settings import DenoiserSettings

SIZES = ((20, 90), (64, 64), (7, 30), (200, 33))


def make_set(count=20, side=64) -> ArrayImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return ArrayImageSet(pixels, np.zeros(count, np.int64))


def make_batches(image_set=None, seed=0, **changes) -> PatchBatches:
    settings = DenoiserSettings(**{"batch_size": 32, **changes})
    return PatchBatches(make_set() if image_set is None else image_set, settings=settings, seed=seed)


def test_shapes_and_ranges():
    batches = make_batches(patches=(32, 64))
    small, large = batches.draw(0), batches.draw(1)
    assert small.clean.shape == small.white.shape == small.smooth.shape == (32, 3, 32, 32)
    assert large.clean.shape == (8, 3, 64, 64)  # as many pixels
    assert small.clean.min() >= 0
    assert small.clean.max() <= 1
    levels = torch.cat([batches.draw(step).sigma for step in range(60)])
    assert 2 / 255 <= levels.min() < 3 / 255
    assert 80 / 255 < levels.max() <= 100 / 255
    assert levels.log().mean().item() == pytest.approx(np.log(200**0.5 / 255), abs=0.1)


def test_share_and_strength_of_fields():
    fields = torch.cat([make_batches(field_share=0.25).draw(step).field for step in range(60)])
    assert (fields > 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert fields[fields > 0].min() >= 4 / 255
    assert fields.max() <= 64 / 255
    assert make_batches(field_share=0.0).draw(0).field.max() == 0


def test_noisy_is_the_sum_of_three():
    batch = make_batches(field_share=1.0).draw(0)
    noise = batch.noisy() - batch.clean
    expected = (batch.sigma**2 + batch.field**2).sqrt()
    assert noise.flatten(1).std(dim=1).median().item() == pytest.approx(expected.median().item(), rel=0.3)
    rows = batch.part(1, 4)
    assert torch.equal(rows.noisy(), batch.noisy()[8:16])


def test_a_step_depends_on_seed_and_step_alone():
    batches = make_batches()
    later = [batches.draw(step) for step in range(6)]
    assert torch.equal(make_batches().draw(5).noisy(), later[5].noisy())
    assert not torch.equal(later[4].noisy(), later[5].noisy())
    assert not torch.equal(make_batches(seed=1).draw(5).noisy(), later[5].noisy())


def test_patches_come_from_the_pictures_at_several_scales():
    """Pictures of vertical stripes 4 pixels wide: a patch's stripes are 4 times 32 over the size of its square."""
    stripes = np.zeros((4, 64, 64, 3), np.uint8)
    stripes[:, :, np.arange(64) // 4 % 2 == 0] = 255
    batches = make_batches(ArrayImageSet(stripes, np.zeros(4, np.int64)), batch_size=16)
    changes = set()
    for step in range(40):
        row = batches.draw(4 * step).clean[0, 0, 16] > 0.5
        changes.add(int((row[1:] != row[:-1]).sum()))
    assert min(changes) <= 6  # squares of 19 pixels hold 5 stripes
    assert max(changes) >= 13  # those of 64 hold 16


def test_pictures_smaller_than_a_patch_are_enlarged():
    assert make_batches(make_set(side=20)).draw(3).clean.shape[2:] == (64, 64)


def test_pictures_of_several_sizes():
    pictures = [np.full((height, width, 3), 10 * row, np.uint8) for row, (height, width) in enumerate(SIZES)]
    batches = make_batches(read(pictures), batch_size=16, patches=(32, 64))
    seen: set[int] = set()
    for step in range(20):
        clean = batches.draw(step).clean
        assert clean.shape[1:] == (3, *[(32, 64)[step % 2]] * 2)
        assert clean.flatten(1).std(dim=1).max() < 1e-5  # every patch is of one picture
        seen |= set((25.5 * clean[:, 0, 0, 0]).round().int().tolist())
    assert seen == {0, 1, 2, 3}
    assert to_show(read(pictures)).shape == (4, 3, 7, 7)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(SettingsError, match="no images"):
        make_batches(make_set(0))
    for changes in ({"patches": (30,)}, {"sigma_min": "0"}, {"sigma_min": "3/255", "sigma_max": "2/255"}):
        with pytest.raises(ValidationError):
            DenoiserSettings(**changes)


def test_perturbed_patches_come_in_pairs():
    plain, taught = make_batches().draw(0), make_batches(families=("grids", "pixels")).draw(0)
    assert plain.shown is plain.clean
    assert torch.equal(taught.clean[::2], plain.clean[::2])
    assert torch.equal(taught.shown[::2], taught.clean[1::2])
    assert (taught.shown[1::2] != taught.clean[1::2]).flatten(1).any(dim=1).all()
    noise = taught.noisy() - taught.shown
    assert torch.allclose(noise[::2], noise[1::2], atol=1e-6)


def test_victims_see_whole_pictures_and_their_classes():
    image_set = make_set()
    batches = make_batches(image_set, families=("gradients",), victims=1)
    assert batches.perturbations is not None
    shown = batches.draw(0).shown
    assert shown.shape == (32, 3, 32, 32)
    assert torch.equal(shown, make_batches(image_set, families=("gradients",), victims=1).draw(0).shown)

from __future__ import annotations

from typing import get_args

import pytest
import torch

from unpoison.core.noise import generator
from unpoison.fitting.perturbations.families import CHANGES, PATTERNS, Perturbations
from unpoison.fitting.perturbations.gradients import Gradients
from unpoison.fitting.perturbations.patterns import blocks, unit
from unpoison.fitting.perturbations.textures import textures
from unpoison.fitting.perturbations.victims import CLASSES, build_victim, train_victims
from unpoison.fitting.settings import Family

BOUND = 8 / 255
NAMES = [*PATTERNS, *CHANGES, "gradients"]


def draw_pictures(count, random):
    light = torch.rand(count, generator=random)
    images = 0.5 * light.view(-1, 1, 1, 1) + 0.5 * torch.rand(count, 3, 16, 16, generator=random)
    return images, (20 * light).long()


def perturbations(*names, **changes) -> Perturbations:
    given = {"bounds": (BOUND, BOUND), "victims": 1, "pictures": draw_pictures, "seed": 0, **changes}
    return Perturbations(names, **given)


def test_the_names_are_those_of_the_settings():
    assert sorted(NAMES) == sorted(get_args(Family))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [16, 64])
def test_family(name, side):
    clean = 0.25 + 0.5 * torch.rand(20, 3, side, side, generator=generator(0, "clean"))
    before, made = clean.clone(), perturbations(name)
    shown = made.draw(clean, generator(1, "draw"))
    assert torch.equal(clean, before)
    assert shown.shape == clean.shape
    assert torch.isfinite(shown).all()
    assert shown.min() >= 0
    assert shown.max() <= 1
    moved = (shown - clean).abs().flatten(1).amax(dim=1)
    assert (moved > 1e-3).all()
    if name not in ("pixels", "kernels"):
        assert moved.max() <= BOUND + 1e-6
    assert torch.equal(shown, made.draw(clean, generator(1, "draw")))
    assert not torch.equal(shown, made.draw(clean, generator(2, "draw")))


def test_bounds_are_drawn_between_the_two():
    clean = torch.full((400, 3, 16, 16), 0.5)
    shown = perturbations("grids", bounds=(4 / 255, 16 / 255)).draw(clean, generator(0, "draw"))
    largest = 255 * (shown - clean).abs().flatten(1).amax(dim=1)
    assert 4 - 1e-3 <= largest.min() < 5
    assert 14 < largest.max() <= 16 + 1e-3


def test_a_texture_follows_from_eight_values_alone():
    texture = textures(1, 24, generator(3, "texture"))[0].double()
    values = texture.unfold(1, 3, 1).unfold(2, 3, 1).reshape(-1, 9)
    known = torch.cat([values[:, :8], torch.ones(len(values), 1).double()], dim=1)  # the mean was taken away
    found = torch.linalg.lstsq(known, values[:, 8:]).solution
    assert (known @ found - values[:, 8:]).std() < 0.01 * values[:, 8].std()


@pytest.mark.parametrize("seed", range(6))
def test_blocks_are_made_of_few_waves(seed):
    made = blocks(8, 32, generator(seed, "blocks"))
    cut = made.unfold(2, 8, 8).unfold(3, 8, 8).reshape(-1, 64)
    assert torch.linalg.matrix_rank(cut, rtol=1e-4) <= 8


def test_unit_cuts_off_what_is_rare():
    patterns = torch.zeros(1, 3, 16, 16)
    patterns[0, 0, 0] = 5.0
    patterns[0, 0, 0, 0] = 100.0
    assert unit(patterns).abs().max() == 1


def test_pixels_are_the_same_few_for_all():
    clean = torch.full((8, 3, 16, 16), 0.5)
    changed = (perturbations("pixels").draw(clean, generator(0, "draw")) != clean).any(dim=1)
    assert 1 <= changed.flatten(1).sum(dim=1).max() <= 4


def test_gradients_move_a_network():
    random = generator(0, "victim")
    victim = train_victims(2, draw_pictures, random)[1]
    clean, _ = draw_pictures(16, random)
    seen = victim(clean).argmax(dim=1)
    made = Gradients([victim])
    shown = [made(clean, torch.full((16, 1, 1, 1), BOUND), generator(seed, "gradients")) for seed in range(12)]
    changes = [(victim(images).argmax(dim=1) != seen).float().mean().item() for images in shown]
    assert max(changes) > 0.3


def test_victims_are_of_several_shapes():
    made = [build_victim(generator(seed, "victim")) for seed in range(12)]
    assert len({tuple(tuple(value.shape) for value in one.state_dict().values()) for one in made}) > 4
    assert made[0](torch.rand(2, 3, 32, 32)).shape == (2, CLASSES)

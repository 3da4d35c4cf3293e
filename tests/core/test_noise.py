from __future__ import annotations

import pytest
import torch

from unpoison.core.noise import Noise, Window, generator

IDS = ("a", "b/c", "00000002")


def test_the_same_however_split_or_ordered():
    whole = Noise(0, "test", IDS).normal(torch.zeros(3, 3, 8, 6), 1)
    for row, image_id in enumerate(IDS):
        alone = Noise(0, "test", [image_id]).normal(torch.zeros(1, 3, 8, 6), 1)
        assert torch.equal(alone[0], whole[row])
    turned = Noise(0, "test", IDS[::-1]).normal(torch.zeros(3, 3, 8, 6), 1)
    assert torch.equal(turned.flip(0), whole)


def test_everything_in_the_key_counts():
    like = torch.zeros(1, 3, 8, 8)
    draws = [
        Noise(0, "test", ["a"]).normal(like, 1),
        Noise(1, "test", ["a"]).normal(like, 1),
        Noise(0, "other", ["a"]).normal(like, 1),
        Noise(0, "test", ["b"]).normal(like, 1),
        Noise(0, "test", ["a"]).normal(like, 2),
        Noise(0, "test", ["a"]).child("rep1").normal(like, 1),
    ]
    for row, first in enumerate(draws):
        assert not any(torch.equal(first, second) for second in draws[row + 1 :])


def test_large_pictures_are_drawn_by_cells():
    noise = Noise(0, "test", ["a"])
    large = noise.normal(torch.zeros(1, 3, 600, 300), 0)[0]
    other = noise.normal(torch.zeros(1, 3, 520, 257), 0)[0]
    assert torch.equal(large[:, :520, :257], other)
    assert not torch.equal(large[:, :256, :40], large[:, 256:512, :40])


def test_standard_normal():
    drawn = Noise(0, "test", ["a"]).normal(torch.zeros(1, 3, 300, 300), 0)
    assert drawn.dtype == torch.float32
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01


def test_global_seed_is_left_alone():
    before = torch.random.get_rng_state()
    Noise(0, "test", ["a"]).normal(torch.zeros(1, 1, 2, 2), 0)
    generator(0, "test")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_count():
    with pytest.raises(ValueError, match="3 images, got a batch of 2"):
        Noise(0, "test", IDS).normal(torch.zeros(2, 3, 4, 4), 0)


def test_generators_are_keyed_by_purpose():
    draws = [torch.randn(4, generator=generator(seed, purpose)) for seed, purpose in ((0, "a"), (0, "a"), (0, "b"))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("height", "width"), [(200, 120), (700, 530), (300, 90)])
@pytest.mark.parametrize(("top", "left", "rows", "columns"), [(0, 0, 60, 70), (130, 20, 70, 64), (16, 1, 184, 89)])
def test_a_window_draws_its_part_of_the_whole_picture(height, width, top, left, rows, columns):
    whole = Noise(0, "test", ["a", "b"]).child("x")
    part = Noise(0, "test", ["a", "b"], Window(top, left, height, width)).child("x")
    like, tile = torch.zeros(2, 3, height, width), torch.zeros(2, 3, rows, columns)
    expected = whole.normal(like, 1)[:, :, top : top + rows, left : left + columns]
    assert torch.equal(part.normal(tile, 1), expected)


@pytest.mark.parametrize(("height", "width", "cell"), [(200, 120, 4), (1700, 300, 4), (1700, 300, 16), (33, 32, 16)])
def test_nodes_lie_at_places_of_the_whole_picture(height, width, cell):
    whole = Noise(0, "test", ["a", "b"]).nodes(torch.zeros(2, 3, height, width), "f", cell)
    assert whole.shape == (2, 3, (height - 1) // cell + 2, (width - 1) // cell + 2)
    for top, left, rows, columns in [(0, 0, height, width), (height // 2, 5, height // 3, 27), (13, 0, 9, 32)]:
        window = Window(top, left, height, width)
        part = Noise(0, "test", ["a", "b"], window).nodes(torch.zeros(2, 3, rows, columns), "f", cell)
        first, last = top // cell, (top + rows - 1) // cell + 1
        here, there = left // cell, (left + columns - 1) // cell + 1
        assert torch.equal(part, whole[:, :, first : last + 1, here : there + 1])


def test_nodes_are_standard_normal_and_of_their_own():
    noise = Noise(0, "test", ["a"])
    like = torch.zeros(1, 3, 1200, 1200)
    grids = [noise.nodes(like, 0, cell) for cell in (4, 8)]
    assert abs(grids[0].mean()) < 0.01
    assert abs(grids[0].std() - 1) < 0.01
    assert not torch.equal(grids[0][..., :150, :150], grids[1][..., :150, :150])
    assert not torch.equal(grids[0][..., :100, :100], noise.normal(torch.zeros(1, 3, 100, 100), 0))

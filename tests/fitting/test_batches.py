from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.fitting.batches import Batches


def make_set(count=10, height=6, width=8) -> ArrayImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return ArrayImageSet(pixels, np.zeros(count, np.int64))


def make_batches(image_set=None, **changes) -> Batches:
    arguments = {"size": 4, "passes": 2, "levels": 50, "flip": False, "shift": 0, "seed": 0, **changes}
    return Batches(image_set or make_set(), **arguments)


def same(first, second) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("clean", "epsilon", "index"))


def test_shapes_and_ranges():
    batch = make_batches(flip=True, shift=2).draw(0)
    assert batch.clean.shape == batch.epsilon.shape == (4, 3, 6, 8)
    assert batch.clean.dtype == torch.float32
    assert -1 <= batch.clean.min() < -0.9
    assert 0.9 < batch.clean.max() <= 1
    indices = torch.cat([make_batches(levels=3).draw(step).index for step in range(50)])
    assert set(indices.tolist()) == {0, 1, 2}


def test_a_step_depends_on_seed_and_step_alone():
    batches = make_batches(flip=True, shift=1)
    later = [batches.draw(step) for step in range(12)]
    assert same(make_batches(flip=True, shift=1).draw(11), later[11])
    assert not same(later[0], later[1])
    assert not same(make_batches(flip=True, shift=1, seed=1).draw(0), later[0])


def test_an_epoch_shows_every_image_passes_times():
    image_set = make_set(8)
    batches = make_batches(image_set, passes=3)
    assert batches.per_epoch == 6
    seen = torch.cat([batches.draw(step).clean for step in range(6)])
    pictures = torch.from_numpy(image_set.array()).permute(0, 3, 1, 2).float() / 127.5 - 1
    counts = [(seen == picture).flatten(1).all(dim=1).sum().item() for picture in pictures]
    assert counts == [3] * 8


def test_a_small_set_still_fills_a_batch():
    assert len(make_batches(make_set(3), size=16, passes=1).draw(0).index) == 16


def test_flip_and_shift_move_whole_images():
    image_set = make_set(1, 8, 8)
    pixels = image_set.array()[0]
    padded = np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    wanted = {
        padded[y : y + 8, x : x + 8][:, :: -1 if mirrored else 1].tobytes()
        for y in range(5)
        for x in range(5)
        for mirrored in (False, True)
    }
    batches = make_batches(image_set, size=16, flip=True, shift=2)
    seen = set()
    for step in range(40):
        levels = ((batches.draw(step).clean + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        seen |= {picture.tobytes() for picture in levels}
    assert seen == wanted


def test_parts_make_the_whole():
    batch = make_batches(size=8).draw(2)
    parts = [batch.part(rank, 2) for rank in range(2)]
    torch.testing.assert_close(torch.cat([part.epsilon for part in parts]), batch.epsilon)
    torch.testing.assert_close(torch.cat([part.clean for part in parts]), batch.clean)


@pytest.mark.parametrize(("image_set", "shift", "message"), [(make_set(0), 0, "no images"), (make_set(), 6, "shift=6")])
def test_what_cannot_be_drawn_is_refused(image_set, shift, message):
    with pytest.raises(SettingsError, match=message):
        Batches(image_set, size=4, passes=1, levels=10, flip=False, shift=shift, seed=0)

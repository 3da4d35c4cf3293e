"""Every output is a crop of the framed input, places and mirrors are fair, nothing else changes."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.defences.cutout import cut_out


def images_of(count: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(dtype)


def place_of(image: torch.Tensor, original: torch.Tensor, padding: int) -> tuple[int, int, bool]:
    """Find the one crop that the output is."""
    framed = F.pad(original, (padding,) * 4)
    side = original.shape[1]
    found = [
        (top, left, mirrored)
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
        for mirrored in (False, True)
        if torch.equal(image.flip(2) if mirrored else image, framed[:, top : top + side, left : left + side])
    ]
    assert len(found) == 1
    return found[0]


def test_each_output_is_a_crop_at_a_place_of_its_own():
    images = images_of(1000)
    before = images.clone()
    out = crop_and_flip(images, padding=2, flip=True, generator=torch.Generator().manual_seed(3))
    places = [place_of(new, old, 2) for new, old in zip(out, images, strict=True)]
    assert torch.equal(images, before)
    assert out.dtype == torch.uint8
    assert len(set(places)) == 5 * 5 * 2
    # 1000 fair draws stay within these bounds but for one seed in 10,000.
    assert 438 <= sum(mirrored for _, _, mirrored in places) <= 562
    counts = torch.bincount(torch.tensor([5 * top + left for top, left, _ in places]), minlength=25)
    assert ((counts - 40.0).square() / 40).sum() < 59  # chi-square with 24 degrees


def test_floats_keep_their_type():
    images = images_of(4, torch.float32) / 255
    out = crop_and_flip(images, padding=2, flip=False, generator=torch.Generator().manual_seed(0))
    assert out.dtype == torch.float32
    assert not any(place_of(new, old, 2)[2] for new, old in zip(out, images, strict=True))


def test_nothing_asked_changes_nothing():
    images = images_of(4)
    assert torch.equal(crop_and_flip(images, padding=0, flip=False, generator=torch.Generator()), images)


def test_the_generator_decides(device):
    images = images_of(8).to(device)
    first, second, other = (
        crop_and_flip(images, padding=2, flip=True, generator=torch.Generator(device).manual_seed(seed))
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_reflected_frame_is_numpys():
    images = torch.randint(256, (300, 3, 6, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    cropped = crop_and_flip(
        images, padding=3, flip=False, generator=torch.Generator().manual_seed(1), reflect=True
    ).numpy()
    places = set()
    for image, crop in zip(images.numpy(), cropped, strict=True):
        framed = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode="reflect")
        found = [
            (top, left)
            for top in range(7)
            for left in range(7)
            if np.array_equal(framed[:, top : top + 6, left : left + 5], crop)
        ]
        assert found
        places.add(found[0])
    assert len(places) == 49


def test_cutout_covers_one_square_of_the_mean_colour():
    images = torch.rand(200, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    fill = torch.tensor([2.0, 3.0, 4.0]).reshape(1, 3, 1, 1)
    cut = cut_out(images, side=3, fill=fill, generator=torch.Generator().manual_seed(1))
    covered = cut[:, 0] == 2
    assert torch.equal(covered.sum(dim=(1, 2)), torch.full((200,), 9))
    assert torch.equal(cut, torch.where(covered[:, None], fill, images))
    corners = {tuple(mask.nonzero()[0].tolist()) for mask in covered}
    assert {top for top, _ in corners} == set(range(6))
    assert {left for _, left in corners} == set(range(8))
    assert all(mask.nonzero()[8].sub(mask.nonzero()[0]).tolist() == [2, 2] for mask in covered)

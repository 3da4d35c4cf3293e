"""The batched compensation against the paper's way: image by image, through PIL."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unpoison.classify.defences.compensation import compensate
from unpoison.core.pixels import luma, to_float


def levels_of(batch: torch.Tensor) -> np.ndarray:
    """[N, 3, H, W] float to [N, H, W, 3] whole levels; fails where a level is not whole."""
    levels = batch.double().mul(255)
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    return levels.round().byte().permute(0, 2, 3, 1).numpy()


def through_pil(image: np.ndarray, p: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Slow, from the specification: grey by PIL, tensor, noise, clamp, cut off to 8 bits."""
    picture = Image.fromarray(image)
    if rng.random() < p:
        picture = Image.merge("RGB", [picture.convert("L")] * 3)
    values = np.asarray(picture, dtype=np.float64) / 255 + sigma * rng.standard_normal(image.shape)
    return np.floor(np.clip(values, 0, 1) * 255 + 1e-9).astype(np.uint8)


def compensated(images: np.ndarray, p: float, sigma: float, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    return levels_of(compensate(to_float(images), grayscale_probability=p, noise_sigma=sigma, generator=generator))


def random_images(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_grey_is_pils_to_the_last_bit():
    images = random_images(64, side=32)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    assert np.array_equal(np.rint(luma(to_float(images))[:, 0].numpy() * 255).astype(np.uint8), expected)
    assert np.array_equal(compensated(images, 1.0, 0.0), np.repeat(expected[..., None], 3, axis=3))


def test_without_grey_and_noise_every_level_survives():
    images = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    assert np.array_equal(compensated(images, 0.0, 0.0), images)


def test_share_of_grey_images():
    out = compensated(random_images(2000, side=4), 0.4, 0.0)
    grey = (out == out[..., :1]).all(axis=(1, 2, 3)).sum()
    assert 715 <= grey <= 885  # binomial(2000, 0.4), four deviations


@pytest.mark.parametrize("level", [0, 5, 128, 250, 255])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_noise_has_the_same_law(level, p):
    images = np.full((40, 16, 16, 3), level, np.uint8)
    rng = np.random.default_rng(1)
    slow = np.stack([through_pil(image, p, 0.05, rng) for image in images])
    fast = compensated(images, p, 0.05)
    count = images.size
    cumulated = [np.cumsum(np.bincount(values.ravel(), minlength=256)) / count for values in (slow, fast)]
    # Two-sample Kolmogorov-Smirnov at the level 0.001; ties only make it safer.
    assert np.abs(cumulated[0] - cumulated[1]).max() < 1.95 * np.sqrt(2 / count)
    if level == 128:
        assert fast.mean() == pytest.approx(127.5, abs=0.4)
        assert fast.std() == pytest.approx(0.05 * 255, rel=0.03)


def test_grey_images_get_coloured_noise():
    noise = compensated(np.full((20, 16, 16, 3), 128, np.uint8), 1.0, 0.05).reshape(-1, 3).astype(float)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.06


def test_input_is_kept_and_the_generator_decides():
    images = random_images(8)
    batch = to_float(images)
    compensate(batch, grayscale_probability=0.4, noise_sigma=0.05, generator=torch.Generator().manual_seed(0))
    assert torch.equal(batch, to_float(images))
    assert np.array_equal(compensated(images, 0.4, 0.05, seed=1), compensated(images, 0.4, 0.05, seed=1))
    assert not np.array_equal(compensated(images, 0.4, 0.05, seed=1), compensated(images, 0.4, 0.05, seed=2))

"""Equalisation makes the spectra of all pictures alike, and nothing is left of a blur for each class."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from unpoison.core.errors import RunError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise, generator
from unpoison.core.pixels import to_float, to_uint8
from unpoison.poisons.attacks.cuda import CudaPoison, CudaSettings
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.equalise import EqualisePurifier, cepstrum
from unpoison.purifiers.settings import EqualiseSettings

COUNT, CLASSES = 300, 3
CPU = torch.device("cpu")


def natural(count: int, height: int, width: int) -> np.ndarray:
    """Grey noise whose amplitude falls with the frequency, as that of photographs does, [N, H, W, 3] uint8."""
    white = np.random.default_rng(0).normal(size=(count, height, width))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    falling = np.fft.irfft2(np.fft.rfft2(white) / np.maximum(frequency, 1 / max(height, width)), s=(height, width))
    falling = 128 + 35 * falling / falling.std(axis=(1, 2), keepdims=True)
    return np.repeat(falling.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def labelled(images: np.ndarray) -> ArrayImageSet:
    return ArrayImageSet(images, np.arange(len(images)) % CLASSES, class_names=["a", "b", "c"])


def prepared(image_set: ArrayImageSet, **fields) -> EqualisePurifier:
    purifier = EqualisePurifier(EqualiseSettings(**fields), device=CPU)
    return purifier.prepare(image_set, generator=generator(0, "test"))


@torch.inference_mode()
def purified(purifier: EqualisePurifier, images: np.ndarray) -> np.ndarray:
    return to_uint8(purifier.purify(to_float(images), noise=Noise(0, "test", list(map(str, range(len(images)))))))


def readable(images: np.ndarray) -> float:
    """Share of the pictures whose cepstrum is nearest to the mean of their class, of pictures that are not in it."""
    found, labels = cepstrum(to_float(images)).numpy(), np.arange(len(images)) % CLASSES
    half = np.arange(len(images)) < len(images) // 2
    means = np.stack([found[half & (labels == label)].mean(axis=0) for label in range(CLASSES)])
    nearest = ((found[~half, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return float((nearest == labels[~half]).mean())


@pytest.fixture(scope="module")
def poisoned() -> ArrayImageSet:
    clean = labelled(natural(COUNT, 32, 32))
    resources = Resources()
    crafted = CudaPoison().craft(clean, CudaSettings(), generator=generator(0, "cuda"), resources=resources)
    return labelled(crafted.images)


def test_a_blur_for_each_class_is_no_longer_read(poisoned):
    assert readable(poisoned.images) > 0.95
    assert readable(purified(prepared(poisoned), poisoned.images)) < 0.5
    assert readable(purified(prepared(poisoned, rounds=1), poisoned.images)) > 0.5  # why there are three


@pytest.mark.parametrize("size", [(32, 32), (21, 40), (150, 90)])
def test_spectra_come_out_alike_and_brightness_stays(size):
    images = natural(40, *size)
    images[::2] = (images[::2].astype(int) + np.roll(images[::2], 1, axis=2)) // 2  # every second one is blurred
    purifier = prepared(labelled(images))
    result = purified(purifier, images)
    before, after = cepstrum(to_float(images)), cepstrum(to_float(result))
    wanted = torch.tensor(purifier.prepared)
    assert (after - wanted).square().mean() < 0.1 * (before - wanted).square().mean()
    assert np.abs(images.mean(axis=(1, 2, 3)) - result.mean(axis=(1, 2, 3))).max() < 2


def test_the_logarithm_of_a_kernel_is_added_to_the_cepstrum():
    images = to_float(natural(200, 64, 64))
    a = 0.4  # x + a x(right): its log amplitude is the sum over n of -(-a)^n / n cos(n f)
    blurred = (images + a * images.roll(-1, dims=3)) / (1 + a)
    added = (cepstrum(blurred) - cepstrum(images)).mean(dim=0)
    expected = torch.zeros(12, dtype=torch.float64)
    expected[:3] = torch.tensor([a, -(a**2) / 2, a**3 / 3])  # lags (0, 1), (0, 2), (0, 3)
    torch.testing.assert_close(added, expected, atol=0.03, rtol=0)


def test_a_frequency_is_changed_by_no_more_than_the_limit(poisoned):
    little = purified(prepared(poisoned, limit=1.05), poisoned.images)
    before = poisoned.images.astype(float)
    assert (little - before).std() < 0.06 * (before - before.mean(axis=(1, 2), keepdims=True)).std()
    assert readable(little) > 0.9


def test_a_flat_picture_stays_flat(poisoned):
    flat = np.full((2, 32, 32, 3), 77, np.uint8)
    assert np.array_equal(purified(prepared(poisoned), flat), flat)


def test_what_was_found_is_kept_as_json(poisoned):
    purifier = prepared(poisoned)
    read = EqualisePurifier(EqualiseSettings(), device=CPU).restore(json.loads(json.dumps(purifier.prepared)))
    some = poisoned.images[:20]
    assert np.array_equal(purified(purifier, some), purified(read, some))
    with pytest.raises(ValueError, match="longer"):
        purifier.restore(purifier.prepared[:5])


def test_one_that_has_not_looked_says_so(poisoned):
    with pytest.raises(RunError, match="call prepare first"):
        purified(EqualisePurifier(EqualiseSettings(), device=CPU), poisoned.images[:1])

"""What each filter is for, and that a picture comes out the same in whatever batch it travels."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
import torch

from unpoison import purify
from unpoison.auditing.probes import read_classes
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise, generator
from unpoison.core.pixels import to_float
from unpoison.data import read
from unpoison.poisons.attacks.cuda import CudaPoison, CudaSettings
from unpoison.poisons.attacks.ops import OpsPoison, OpsSettings
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.filters.cepstral_noise import filter_each, kernels_of_cepstra
from unpoison.purifiers.filters.total_variation import divergence, gradient, lower_total_variation
from unpoison.purifiers.methods import METHODS
from unpoison.purifiers.settings import purifier_settings

FILTERS = [name for name, address in METHODS.items() if ".filters." in address]


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Random levels of all kinds, sides odd and even."""
    return np.random.default_rng(0).integers(0, 256, (9, 20, 17, 3), dtype=np.uint8)


def total_variation(image: np.ndarray) -> float:
    down, right = gradient(to_float(image[None]))
    return float((down.square() + right.square()).sqrt().sum())


@pytest.mark.parametrize("name", FILTERS)
def test_the_batch_changes_no_bit(name, pictures):
    purifier = build_purifier(purifier_settings(name), device=torch.device("cpu"))
    images, ids = to_float(pictures), [str(row) for row in range(len(pictures))]
    whole = purifier.purify(images, noise=Noise(0, "test", ids))
    for size in (1, 2, 7):
        parts = [slice(start, start + size) for start in range(0, len(images), size)]
        split = [purifier.purify(images[part], noise=Noise(0, "test", ids[part])) for part in parts]
        assert torch.equal(torch.cat(split), whole)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_bit_depth_keeps_the_highest_bits(pictures, bits):
    mask = 0xFF << (8 - bits) & 0xFF
    assert np.array_equal(purify(pictures, "bit-depth", bits=bits), pictures & mask)


@pytest.mark.parametrize("levels", [2, 3, 8, 16, 256])
def test_quantise_has_exactly_its_levels_and_takes_the_nearest(levels):
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), (1, 16, 16, 3)).copy()
    allowed = np.rint(np.arange(levels) * 255 / (levels - 1))
    found = purify(ramp, "quantise", levels=levels)
    assert np.unique(found).tolist() == allowed.tolist()
    change = np.abs(found.astype(float) - ramp)
    nearest = np.abs(allowed[:, None] - ramp.ravel()).min(axis=0).reshape(ramp.shape)
    assert (change <= nearest + 0.5).all(), "levels are whole only after the choice"


def test_the_published_blur_is_the_identity(pictures):
    assert np.array_equal(purify(pictures, "gaussian-blur", sigma=0.1), pictures)
    assert np.abs(purify(pictures, "gaussian-blur").astype(int) - pictures).mean() > 10


def test_blur_of_a_point_is_a_bell_of_its_width():
    point = np.zeros((1, 41, 41, 3), np.uint8)
    point[0, 20, 20] = 255
    purifier = build_purifier(purifier_settings("gaussian-blur", overrides={"sigma": 2}), device=torch.device("cpu"))
    bell = purifier.purify(to_float(point), noise=Noise(0, "test", ["0"]))[0, 0].double()
    place = torch.arange(41.0, dtype=torch.float64) - 20
    assert bell.sum().item() == pytest.approx(1, abs=1e-6)
    assert (bell.sum(dim=0) * place.square()).sum().sqrt().item() == pytest.approx(2, rel=0.005)
    assert torch.allclose(bell, bell.T)


def test_mean_and_median_are_those_of_the_square(pictures):
    square = pictures[3, 4:9, 6:11].reshape(25, 3)
    mean, median = purify(pictures, "mean-filter", size=5), purify(pictures, "median-filter", size=5)
    assert np.abs(mean[3, 6, 8] - square.mean(axis=0)).max() <= 0.501
    assert np.array_equal(median[3, 6, 8], np.median(square, axis=0))


def test_noise_has_the_deviation_asked_for_and_is_that_of_its_seed():
    grey = np.full((8, 32, 32, 3), 128, np.uint8)
    first, again, other = (purify(grey, "gaussian-noise", sigma="10/255", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    noise = first.astype(float) - grey
    assert noise.std() == pytest.approx(np.sqrt(10**2 + 1 / 12), rel=0.02)  # with that of rounding
    assert abs(noise.mean()) < 0.25
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1, "every picture has its own"


@pytest.mark.parametrize("factor", [1.3, 2, 16])
def test_resize_keeps_size_and_drops_what_is_fine(pictures, factor):
    small = purify(pictures, "resize", factor=factor)
    assert small.shape == pictures.shape
    board = (np.indices((20, 17)).sum(axis=0) % 2 * 100 + 80).astype(np.uint8)[None, :, :, None].repeat(3, axis=3)
    if factor >= 2:
        assert np.ptp(purify(board, "resize", factor=factor)[0, 4:-4, 4:-4].astype(int)) < 15
    flat = np.full_like(board, 90)
    assert np.array_equal(purify(flat, "resize", factor=factor), flat)


def test_total_variation_falls_and_the_mean_stays():
    image = np.random.default_rng(1).integers(60, 196, (1, 24, 24, 3), dtype=np.uint8)
    variations, means = [], []
    for weight in (0.01, 0.05, 0.2):
        smooth = purify(image, "total-variation", weight=weight)
        variations.append(total_variation(smooth[0]))
        means.append(smooth[0].mean(axis=(0, 1)))
    assert total_variation(image[0]) > variations[0] > variations[1] > variations[2]
    assert np.abs(np.array(means) - image[0].mean(axis=(0, 1))).max() < 0.3  # rounding


def test_two_flat_halves_come_nearer_by_twice_weight_over_width():
    halves = torch.full((1, 1, 6, 16), 0.2)
    halves[..., 8:] = 0.8
    smooth = lower_total_variation(halves, 0.1, iterations=1500)
    assert torch.allclose(smooth[..., :8], torch.tensor(0.2 + 0.1 / 8), atol=1e-4)
    assert torch.allclose(smooth[..., 8:], torch.tensor(0.8 - 0.1 / 8), atol=1e-4)


def test_divergence_is_the_negative_adjoint_of_the_gradient():
    u, down, right = torch.randn(3, 2, 1, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rise_down, rise_right = gradient(u)
    assert (rise_down * down + rise_right * right).sum().item() == pytest.approx(-(u * divergence(down, right)).sum())
    assert divergence(down, right).sum().item() == pytest.approx(0, abs=1e-12)


# within the strokes of digits, a speck among black and white neighbours is none
@pytest.mark.parametrize(("method", "left", "least"), [("median-filter", 0, 0.95), ("despeckle", 0.2, 0.75)])
def test_median_and_despeckle_undo_one_pixel_shortcuts(method, left, least):
    clean = read("digits#train[:800]")
    crafted = OpsPoison().craft(clean, OpsSettings(), generator=generator(0, "ops"), resources=Resources())
    poisoned = ArrayImageSet(crafted.images, clean.labels, class_names=clean.class_names)
    spots = [crafted.facts["painted"][clean.class_names[label]][0] for label in clean.labels]

    def painted(images: np.ndarray) -> float:
        """Share of pictures whose class can still be told from its pixel."""
        levels = np.array([images[row, spot["row"], spot["column"]] for row, spot in enumerate(spots)], float)
        return float((np.abs(levels - [spot["color"] for spot in spots]).max(axis=1) < 64).mean())

    def learned(train: np.ndarray, test: np.ndarray) -> float:
        """Accuracy on clean pictures of a linear classifier of the others."""
        reading = read_classes(
            to_float(np.concatenate([train, test])).flatten(1), np.tile(clean.labels, 2), np.arange(len(train))
        )
        return float((reading.scores.argmax(axis=1) == reading.labels)[len(train) :].mean())

    assert painted(poisoned.array()) == 1
    assert learned(poisoned.array(), clean.array()) < 0.5
    filtered, reference = (purify(image_set, method).array() for image_set in (poisoned, clean))
    assert painted(filtered) <= left
    assert painted(reference) == 0
    assert learned(filtered, reference) > least


def test_despeckle_takes_specks_and_nothing_else():
    picture = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None], (20, 20, 3)).copy()
    specked = picture.copy()
    specked[5, 5], specked[5, 6], specked[12, 9, 1] = 255, (255, 0, 255), 0  # two side by side, one in a single channel
    specked[16:, 10] = 255  # a line is no speck
    expected = picture.copy()
    expected[16:, 10] = 255
    left = purify(specked[None], "despeckle")[0]
    assert np.abs(left[:15].astype(int) - expected[:15]).max() <= 5  # half a step of the ramp
    assert np.array_equal(left[17:, 10], expected[17:, 10])
    assert np.array_equal(purify(specked[None], "despeckle", threshold=0.99)[0], specked)


def test_jitter_takes_every_pixel_from_near():
    rows = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8)[:, None, None], (24, 24, 3))
    moved = purify(rows[None], "jitter", reach=1.5, seed=1)[0].astype(int) - rows
    assert 13 <= np.abs(moved[2:-2]).max() <= 15
    assert moved[2:-2].std() == pytest.approx(15 / np.sqrt(3), rel=0.1)  # evenly from -1.5 to 1.5 pixels of 10 levels
    assert (moved[..., 0] == moved[..., 2]).all()
    flat = np.full((1, 24, 24, 3), 77, np.uint8)
    assert np.array_equal(purify(flat, "jitter", reach=8), flat)
    assert not np.array_equal(*(purify(rows[None], "jitter", seed=seed) for seed in (0, 1)))


def test_trim_repeats_what_lies_inside():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 7, 6, 3), dtype=np.uint8)
    trimmed = purify(pictures, "trim")
    assert np.array_equal(trimmed[:, 1:-1, 1:-1], pictures[:, 1:-1, 1:-1])
    assert np.array_equal(trimmed, np.pad(pictures[:, 1:-1, 1:-1], [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge"))
    middle = np.pad(pictures[:, 3:4, 2:4], [(0, 0), (3, 3), (2, 2), (0, 0)], mode="edge")
    assert np.array_equal(purify(pictures, "trim", width=16), middle)  # wider than the picture


def test_chroma_blur_smooths_colours_and_keeps_luma(pictures):
    def luma(images: np.ndarray) -> np.ndarray:
        return images @ np.array([0.299, 0.587, 0.114])

    muted = (pictures // 4 + 96).astype(np.uint8)  # so that nothing is clipped
    blurred = purify(muted, "chroma-blur", radius=2)
    assert np.abs(luma(blurred) - luma(muted)).max() < 1
    before, after = (images - luma(images)[..., None] for images in (muted, blurred))
    assert after.std() < before.std() / 4
    assert np.allclose(after.mean(axis=(1, 2)), before.mean(axis=(1, 2)), atol=1.5)
    grey = np.repeat(muted[..., :1], 3, axis=3)
    assert np.array_equal(purify(grey, "chroma-blur", radius=2), grey)
    found = sha256(purify(pictures, "chroma-blur", radius=2).tobytes()).hexdigest()
    assert found.startswith("e1aa383ad7324936"), "the same on every processor"


def test_trim_and_cepstral_noise_hide_which_kernel_a_class_was_filtered_with():
    clean = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(200) % 2
    whole = ArrayImageSet(clean, labels, class_names=["one", "other"])
    crafted = CudaPoison().craft(whole, CudaSettings(), generator=generator(1, "cuda"), resources=Resources())

    def told_apart(images: np.ndarray) -> tuple[float, float]:
        """Distance of the two classes in deviations: by how dark edges are, and by how pixels go with those below."""
        pixels = images.mean(axis=3) - images.mean()
        edges = pixels[:, 0].mean(axis=1) - pixels[:, 1].mean(axis=1)
        inner = pixels[:, 2:-2, 2:-2]
        below = (inner[:, 1:] * inner[:, :-1]).mean(axis=(1, 2)) / inner.var(axis=(1, 2))
        return tuple(
            float(abs(values[labels == 0].mean() - values[labels == 1].mean()) / values[labels == 0].std())
            for values in (edges, below)
        )

    before = told_apart(crafted.images)
    after = told_apart(purify(purify(crafted.images, "trim"), "cepstral-noise", std=0.2, seed=0))
    assert after[0] < 0.5 < 1 < before[0]
    assert after[1] < before[1] / 2


def test_cepstral_noise_keeps_brightness_and_filters_every_picture_in_its_own_way():
    flat = np.full((2, 16, 16, 3), 77, np.uint8)
    assert np.array_equal(purify(flat, "cepstral-noise", std=0.3, seed=0), flat)
    twice = np.random.default_rng(0).integers(100, 150, (1, 16, 16, 3), dtype=np.uint8).repeat(2, axis=0)
    one, other = purify(twice, "cepstral-noise", seed=0).astype(int)
    assert np.abs(one - other).max() > 5
    assert abs(one.mean() - twice.mean()) < 1


def test_kernels_are_rounded_and_sum_to_one_on_every_processor():
    kernels = kernels_of_cepstra(0.3 * torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(0))).double()
    assert torch.equal(kernels * 2**16, (kernels * 2**16).round())
    assert torch.equal(kernels.sum(dim=(1, 2)), torch.ones(50, dtype=torch.float64))


def test_cepstra_add_where_kernels_are_convolved():
    first, second = 0.1 * torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    impulse = torch.zeros(1, 1, 33, 33)
    impulse[..., 16, 16] = 1
    both = filter_each(filter_each(impulse, kernels_of_cepstra(first)), kernels_of_cepstra(second))
    assert torch.allclose(both[..., 12:21, 12:21], kernels_of_cepstra(first + second)[:, None], atol=1e-4)

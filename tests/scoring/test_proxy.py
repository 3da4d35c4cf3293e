"""The proxy sees what a purifier leaves of a poison, and what it does to clean pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.classifier import IDENTITY, Classifier, build_net
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.records import Metric
from unpoison.poisons.methods import METHODS
from unpoison.poisons.protocol import Resources
from unpoison.scoring.patches import patch_filters
from unpoison.scoring.proxy import FEATURE_COST, SHORTCUT_COST, Proxy, measure_proxy
from unpoison.scoring.ridge import fit_ridge

CLASSES = 5


@pytest.fixture(scope="module")
def clean():
    """400 pictures of little contrast, whose class nothing says."""
    coarse = np.random.default_rng(0).integers(120, 136, (400, 4, 4, 3), dtype=np.uint8)
    return ArrayImageSet(coarse.repeat(4, axis=1).repeat(4, axis=2), np.arange(400) % CLASSES)


@pytest.fixture(scope="module")
def classifier():
    net = build_net("hlb-s", classes=CLASSES, width=8, seed=0)
    names = [str(label) for label in range(CLASSES)]
    mean, std = IDENTITY
    return Classifier(net, architecture="hlb-s", width=8, class_names=names, mean=mean, std=std).eval()


def craft(image_set, attack: str, **settings):
    method = load_method(METHODS, attack, kind="attack")
    crafted = method().craft(
        image_set, method.Settings(**settings), generator=generator(0, attack), resources=Resources()
    )
    return crafted.images


def blur(images: np.ndarray, side: int = 3) -> np.ndarray:
    padded: Tensor = F.pad(to_float(images), [side // 2] * 4, mode="reflect")
    return to_uint8(F.avg_pool2d(padded, side, stride=1))


def test_nothing_done_costs_nothing(clean, classifier):
    found = measure_proxy(clean.images, clean.images, clean.images, clean.labels, classifier=classifier)
    assert found.readability.value == pytest.approx(1 / CLASSES)
    assert (found.shortcut, found.pixel_error, found.feature_error, found.cost) == (0, 0, 0, 0)


@pytest.mark.parametrize(("attack", "settings"), [("lsp", {"patch": 4}), ("ops", {})])
def test_a_poison_that_is_left_is_a_shortcut_and_less_so_where_it_is_weaker(attack, settings, clean, classifier):
    poisoned = craft(clean, attack, **settings)
    found = measure_proxy(clean.images, clean.images, poisoned, clean.labels, classifier=classifier)
    assert found.readability.value > 0.98
    assert found.shortcut > 0.4
    assert found.pixel_error == found.feature_error == 0
    assert found.cost == pytest.approx(SHORTCUT_COST * found.shortcut)
    weaker = (clean.images + (poisoned.astype(float) - clean.images) / 8).round().astype(np.uint8)
    left = measure_proxy(clean.images, clean.images, weaker, clean.labels, classifier=classifier)
    assert left.readability.value > 0.98  # which a linear probe does not see
    assert left.shortcut < found.shortcut


def test_what_purifying_does_to_clean_pictures_by_hand(clean, classifier):
    blurred, more = blur(clean.images), blur(clean.images, 5)
    found, further = (
        measure_proxy(clean.images, shown, shown, clean.labels, classifier=classifier) for shown in (blurred, more)
    )
    assert found.pixel_error == pytest.approx(np.sqrt(np.mean((blurred.astype(float) - clean.images) ** 2)), rel=1e-5)
    assert 0 < found.pixel_error < further.pixel_error
    caught: list[Tensor] = []
    hook = classifier.net.linear.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    with torch.inference_mode():
        classifier(to_float(clean.images))
        classifier(to_float(blurred))
    hook.remove()
    centre = caught[0].mean(dim=0)
    expected = (caught[1] - caught[0]).norm(dim=1).mean() / (caught[0] - centre).norm(dim=1).mean()
    assert found.feature_error == pytest.approx(float(expected), rel=1e-4)
    assert found.readability.value == pytest.approx(1 / CLASSES)
    assert found.cost >= FEATURE_COST * found.feature_error > 0


def test_rows_without_a_class_and_their_order_do_not_count(clean, classifier):
    poisoned = craft(clean, "lsp", patch=4)
    whole = measure_proxy(clean.images, clean.images, poisoned, clean.labels, classifier=classifier)
    images = np.concatenate([clean.images[:7], clean.images])
    labels = np.concatenate([np.full(7, -1), clean.labels])
    left = np.concatenate([255 - clean.images[:7], poisoned])
    assert measure_proxy(images, images, left, labels, classifier=classifier) == whole


def test_the_cost_is_a_sum():
    nothing = Metric(value=0.1, n=10, low=0, high=1)
    assert Proxy(nothing, shortcut=0.1, pixel_error=9, feature_error=0.5).cost == pytest.approx(
        0.1 * SHORTCUT_COST + 0.5 * FEATURE_COST
    )


def test_pictures_that_do_not_belong_together_are_refused(clean, classifier):
    with pytest.raises(SettingsError, match="must match"):
        measure_proxy(clean.images, clean.images[:9], clean.images, clean.labels, classifier=classifier)
    with pytest.raises(SettingsError, match="row by row"):
        measure_proxy(clean.images, clean.images, clean.images[:9], clean.labels, classifier=classifier)


def test_filters_are_whitened_patches_and_do_not_answer_to_the_mean_one():
    shown = torch.rand(20, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    filters, offsets = patch_filters(shown, 6, generator=torch.Generator().manual_seed(1))
    assert filters.shape == (6, 3, 5, 5)
    answers = F.conv2d(shown, filters, -offsets)
    assert float(answers.mean().abs()) < 0.02
    # In white directions each filter has length one, so its answers have about that deviation.
    assert float(answers.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("shape", [(12, 30), (30, 6)])
def test_ridge_regression_and_what_it_says_of_rows_left_out(shape):
    source = np.random.default_rng(0)
    known, targets = source.normal(size=shape), source.normal(size=(shape[0], 2))
    weights, left_out = fit_ridge(torch.tensor(known).float(), torch.tensor(targets).float(), [2.0])
    expected = np.linalg.solve(known.T @ known + 2 * np.eye(shape[1]), known.T @ targets)
    assert np.allclose(weights, expected, atol=1e-4)
    others, wanted = known[1:], targets[1:]
    without = np.linalg.solve(others.T @ others + 2 * np.eye(shape[1]), others.T @ wanted)
    assert np.allclose(left_out[0], known[0] @ without, atol=1e-4)

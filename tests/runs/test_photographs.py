"""A warning for pictures unlike those that the denoiser in the package has seen, and none for photographs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unpoison.core.images import ArrayImageSet
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.photographs import describe_strangeness, strangeness_warning


def _colour(rng) -> np.ndarray:
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


def _grey(rng) -> np.ndarray:
    return np.asarray(Image.fromarray(_colour(rng)).convert("L").convert("RGB"))


def _medical(rng) -> np.ndarray:
    picture = np.zeros((96, 64, 3), np.uint8)
    picture[16:80] = _grey(rng)
    return picture


def _document(rng) -> np.ndarray:
    page = Image.new("RGB", (300, 400), "white")
    for line in range(10, 380, 14):
        ImageDraw.Draw(page).text((15, line), "words and more words " * 2, fill=(20, 20, 60))
    return np.asarray(page)


KINDS = {_grey: "one channel", _medical: "medical", _document: "documents"}


@pytest.mark.parametrize("kind", KINDS)
def test_most_decide(kind):
    rng = np.random.default_rng(0)
    strange, usual = [kind(rng) for _ in range(8)], [_colour(rng) for _ in range(8)]
    assert KINDS[kind] in describe_strangeness(strange + usual[:7])
    assert describe_strangeness(strange + usual) is None


def test_photographs_and_nothing_are_not_strange():
    rng = np.random.default_rng(0)
    assert describe_strangeness([_colour(rng) for _ in range(20)]) is None
    assert describe_strangeness([]) is None


def test_a_line_for_the_denoiser_in_the_package_alone(tiny_model):
    rng = np.random.default_rng(0)
    image_set = ArrayImageSet(np.stack([_grey(rng) for _ in range(9)]), np.arange(9) % 2, name="scans")
    warning = strangeness_warning(image_set, purifier_settings("fast"))
    assert "scans are grey" in warning
    assert "--preview" in warning
    assert strangeness_warning(image_set, purifier_settings("jpeg+fast")) == warning
    assert strangeness_warning(image_set, purifier_settings("jpeg")) is None
    own = purifier_settings("fast", overrides={"model": str(tiny_model)})
    assert strangeness_warning(image_set, own) is None

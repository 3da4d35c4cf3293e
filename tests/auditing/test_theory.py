"""Theory of a known perturbation: what stays whole, what goes, and sets that do not belong together."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from unpoison.auditing.theory import diagnose
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import lend
from unpoison.core.picture import Picture
from unpoison.core.settings import Settings
from unpoison.data.pictures.loose import PictureListSet
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import purifier_settings

BOARD = 4 * (1 - 2 * (np.indices((32, 32)).sum(axis=0) % 2))[..., None]  # fine noise that a denoiser takes away
HALVES = np.where(np.arange(32) < 16, 8, -8)[None, :, None]  # coarse: it looks like a picture


class Keeps(Purifier):
    """Leaves every picture as it is."""

    Settings = Settings
    is_random = False
    halo = 0

    def purify(self, images, *, noise, on_step=None, should_stop=None):
        return images.clone()


@pytest.fixture(scope="module")
def originals() -> ArrayImageSet:
    """Smooth pictures of two classes."""
    coarse = np.random.default_rng(0).uniform(80, 170, (60, 3, 3, 3))
    place = np.linspace(0, 2, 32)
    blend = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(3)))
    images = np.einsum("ri,cj,nijk->nrck", blend, blend, coarse)
    return ArrayImageSet(images.astype(np.uint8), np.arange(60) % 2, class_names=("cat", "dog"), name="clean")


def _poisoned(originals, pattern):
    """The pattern on every picture of the first class, and its negative on the second."""
    sign = 1 - 2 * originals.labels[:, None, None, None]
    images = (originals.images + sign * pattern).astype(np.uint8)
    return ArrayImageSet(images, originals.labels, class_names=originals.class_names, ids=originals.ids, name="bad")


def _ratio(found, part="all"):
    return next(one.ratio for one in found.remaining if one.part == part)


def test_what_a_purifier_keeps_is_left_whole(originals):
    with lend({"purifier": {"keeps": Keeps}}):
        found = diagnose(_poisoned(originals, BOARD), originals, settings=purifier_settings("keeps"))
    assert [_ratio(found, part) for part in ("all", "fine", "class means")] == pytest.approx([1, 1, 1])
    assert found.energy == pytest.approx(1)
    assert (found.before, found.sigma, found.noise_cap) == (found.after, None, None)
    assert found.after.difference == 1
    assert found.squared_length == pytest.approx(3 * 32 * 32 * (4 / 255) ** 2, rel=1e-5)
    assert found.cap == found.training_cap == pytest.approx(found.squared_length / (2 * 0.05**2), rel=0.02)
    assert (found.pictures, found.images, found.changed) == (60, 60, 60)


def test_fine_noise_goes_and_coarse_stays(originals):
    fine = diagnose(_poisoned(originals, BOARD), originals)
    assert abs(_ratio(fine)) < 0.1
    assert fine.noise_cap == pytest.approx(fine.squared_length / 2 / (25 / 255) ** 2)
    assert fine.cap == fine.training_cap < fine.noise_cap / 4
    assert all(one.poisoned > one.clean for one in fine.denoiser)
    with_coarse = diagnose(_poisoned(originals, HALVES), originals)
    assert _ratio(with_coarse) > 0.2
    assert with_coarse.remaining[1].part == "coarse"
    assert with_coarse.remaining[1].share > 0.9


def test_levels_fall_to_one_nat_where_it_is_said(originals):
    found = diagnose(_poisoned(originals, BOARD), originals)
    nats = [one.nats for one in found.levels]
    assert nats == sorted(nats, reverse=True)
    hundred = next(one for one in found.levels if one.t == 100)
    assert hundred.nats == pytest.approx(2 * 401 * found.squared_length, rel=2e-3)
    above = [one.sigma for one in found.levels if one.nats > 1]
    assert above[-1] < found.one_nat
    assert asdict(found)["levels"][0]["t"] == 10


def test_a_sample_is_spread_over_the_classes_and_matched_by_id(originals, monkeypatch):
    monkeypatch.setattr("unpoison.auditing.theory.PICTURES", 20)
    order = np.random.default_rng(1).permutation(60)
    found = diagnose(_poisoned(originals, BOARD), originals.subset(order))
    assert (found.pictures, found.images, found.changed) == (20, 60, 20)
    assert found.squared_length == pytest.approx(3 * 32 * 32 * (4 / 255) ** 2, rel=1e-5)


def test_sets_that_do_not_belong_together_are_refused(originals):
    bad = _poisoned(originals, BOARD)
    with pytest.raises(DataError, match="clean has no such picture"):
        diagnose(bad, originals.subset(np.arange(30)))
    small = ArrayImageSet(originals.images[:, :16, :16], originals.labels, name="small")
    with pytest.raises(DataError, match="another size than in small"):
        diagnose(bad, small)
    with pytest.raises(DataError, match="none of the 60 pictures looked at differs"):
        diagnose(originals, originals)
    with pytest.raises(DataError, match="no picture has a class"):
        diagnose(ArrayImageSet(bad.images, np.full(60, -1)), originals)


def test_pictures_of_several_sizes_are_refused(originals):
    rgb = [*originals.images[:2], originals.images[2, :16]]
    pictures = [Picture(picture) for picture in rgb]
    several = PictureListSet(pictures, [0, 1, 0], class_names=("cat", "dog"), ids=["a", "b", "c"], name="several")
    with pytest.raises(SettingsError, match="several sizes"):
        diagnose(several, several)

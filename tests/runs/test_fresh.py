"""Pictures purified anew for every epoch: which draw each learns from, and that a purified set has the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.fresh import FreshDraws
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

RUN = PurifyRun(purifier_settings("fast"), seed=7)


def draws_of(image_set, *, run: PurifyRun = RUN, **options) -> FreshDraws:
    return FreshDraws(image_set, run, **{"device": "cpu", **options})


def renamed(image_set, ids) -> ArrayImageSet:
    return ArrayImageSet(image_set.array(), image_set.labels, class_names=image_set.class_names, ids=ids)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_draw_is_what_a_run_makes_of_the_pictures_under_the_ids_of_the_draw(make_set, precision):
    found = make_set(70)
    run = PurifyRun(purifier_settings("fast", overrides={"precision": precision}), seed=7)
    fresh = draws_of(found, run=run, epochs=3)
    for epoch, ids in ((1, found.ids), (2, [f"{one}~2" for one in found.ids])):
        expected, _ = purify_in_memory(renamed(found, ids), run, device="cpu")
        pictures = fresh(epoch)
        assert (pictures.dtype, pictures.shape) == (torch.uint8, (70, 3, 16, 16))
        assert np.array_equal(pictures.permute(0, 2, 3, 1), expected.array())
    assert fresh.seconds > 0


def test_draws_are_made_and_stay_on_the_device(make_set, device):
    found = make_set(70)
    pictures = draws_of(found, epochs=1, device=str(device))(1)
    assert pictures.device.type == device.type
    expected, _ = purify_in_memory(found, RUN, device=str(device))
    assert np.array_equal(pictures.permute(0, 2, 3, 1).cpu(), expected.array())


def test_every_epoch_has_its_own_draw_or_a_few_take_turns(make_set):
    found = make_set(6)
    each = [draws_of(found, epochs=4)(epoch) for epoch in range(1, 5)]
    assert len({pictures.numpy().tobytes() for pictures in each}) == 4
    in_turn = draws_of(found, epochs=4, draws=3)
    assert [torch.equal(in_turn(epoch), each[(epoch - 1) % 3]) for epoch in range(1, 5)] == [True] * 4
    assert in_turn(4) is in_turn(1)
    assert in_turn.describe()["draws"] == 3
    assert draws_of(found, epochs=4, draws=9).describe() == draws_of(found, epochs=4).describe()


def test_another_seed_gives_other_draws_and_a_filter_the_same_ones(make_set):
    found = make_set(6)
    other = PurifyRun(RUN.settings, seed=8)
    assert not torch.equal(draws_of(found, epochs=1)(1), draws_of(found, run=other, epochs=1)(1))
    jpeg = draws_of(found, run=PurifyRun(purifier_settings("jpeg")), epochs=2)
    assert torch.equal(jpeg(1), jpeg(2))


def test_grey_pictures_stay_grey(make_set):
    found = make_set(6)
    grey = ArrayImageSet(found.images[..., :1].repeat(3, axis=3), found.labels, mode="L", class_names=["a", "b", "c"])
    pictures = draws_of(grey, epochs=1)(1)
    assert torch.equal(pictures[:, :1].expand(-1, 3, -1, -1), pictures)


def test_large_sets_go_in_parts_that_do_not_show(make_set, monkeypatch):
    found, steps = make_set(70), []
    whole = draws_of(found, epochs=1)(1)
    monkeypatch.setattr("unpoison.runs.fresh._PIXELS", 64 * 16 * 16)
    assert torch.equal(draws_of(found, epochs=1)(1, steps.append), whole)
    assert [step.step for step in steps] == [0, 64, 70]
    assert steps[-1].doing == "purifying 70 of 70 for epoch 1"


def test_what_cannot_be_drawn_anew_is_refused(make_set):
    with pytest.raises(SettingsError, match="'orthogonal-projection' looks at the whole set before it purifies"):
        draws_of(make_set(6), run=PurifyRun(purifier_settings("orthogonal-projection")), epochs=1)
    with pytest.raises(SettingsError, match="draws -1 is no whole number"):
        draws_of(make_set(6), epochs=1, draws=-1)

"""Trainings of one seed are pairs: the same weights at first, order, crops and mirrors, whatever the defence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from classify.toy import toy_set
from unpoison.classify import augment, training, transfer
from unpoison.classify.defences.chain import Chain
from unpoison.classify.defences.methods import METHODS
from unpoison.classify.lesson import Redraw
from unpoison.classify.settings import scratch_settings, transfer_settings

SMALL = {"epochs": 2, "batch_size": 16, "precision": "fp32", "learning_rate": 0.05}
QUICK = {
    "epic": {"epic.warm_up": 1, "epic.fraction": 0.4},
    "friendly-noise": {"friendly-noise.warm_up": 1, "friendly-noise.steps": 2},
    "adversarial": {"adversarial.steps": 1},
    "cutout": {"cutout": 4},
}
COUNT = 50  # so that the last batch is a short one

Seen = dict[str, list[Tensor]]


@pytest.fixture
def seen(monkeypatch) -> Seen:
    """What trainings do: the weights at first, the rows of each batch, and where each of its pixels comes from."""
    seen: Seen = {"weights": [], "rows": [], "places": []}
    crop, prepare, fit = augment.crop_and_flip, Chain.prepare, training.fit

    def noting_crop(images, *, generator, **options):
        pixels = torch.arange(1.0, 1 + images[0, 0].numel()).view(1, 1, *images.shape[2:])
        twin = torch.Generator().set_state(generator.get_state())
        seen["places"].append(crop(pixels.expand(len(images), -1, -1, -1), generator=twin, **options))
        return crop(images, generator=generator, **options)

    def noting_prepare(chain, pictures, rows):
        seen["rows"].append(rows)
        return prepare(chain, pictures, rows)

    def noting_fit(lesson, **options):
        seen["weights"].append(torch.cat([value.detach().flatten() for value in lesson.net.parameters()]))
        return fit(lesson, **options)

    monkeypatch.setattr(augment, "crop_and_flip", noting_crop)
    monkeypatch.setattr(Chain, "prepare", noting_prepare)
    for module in (training, transfer):
        monkeypatch.setattr(module, "fit", noting_fit)
    return seen


def fields(defence: str) -> dict[str, object]:
    quick = [QUICK.get(name, {}) for name in defence.split("+")]
    return {**SMALL, "defence": defence, **dict(item for own in quick for item in own.items())}


def train(defence: str = "", *, pictures: int = 0, redraw: Redraw | None = None):
    sets = {"test_set": toy_set(9, side=16, seed=9)}
    settings = scratch_settings(overrides={**fields(defence), "width": 4})
    return training.train(
        toy_set(COUNT, side=16, seed=pictures), model="hlb-s", settings=settings, device="cpu", redraw=redraw, **sets
    )


def what(seen: Seen, do: Callable[[], object]) -> dict[str, Tensor]:
    for noted in seen.values():
        noted.clear()
    do()
    return {name: torch.cat(noted) for name, noted in seen.items()}


@pytest.mark.parametrize("name", [*(name for name in METHODS if name != "epic"), "compensation+cutout+mixup"])
def test_a_defence_moves_no_crop_and_no_picture(seen, name):
    plain, defended = what(seen, train), what(seen, lambda: train(name))
    assert len(plain["places"].unique(dim=0)) > COUNT
    for noted in seen:
        assert torch.equal(plain[noted], defended[noted]), noted


def test_other_pictures_are_taken_in_the_same_way(seen):
    plain, purified = what(seen, train), what(seen, lambda: train(pictures=1))
    assert all(torch.equal(plain[noted], purified[noted]) for noted in seen)


def drawn_anew(epoch: int, on_step: object) -> Tensor:
    return torch.from_numpy(toy_set(COUNT, side=16, seed=epoch).images.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("defence", ["", "mixup", "friendly-noise"])
def test_pictures_drawn_anew_in_every_epoch_are_taken_in_the_same_way(seen, defence):
    plain, fresh = what(seen, train), what(seen, lambda: train(defence, redraw=drawn_anew))
    assert all(torch.equal(plain[noted], fresh[noted]) for noted in seen)


def test_each_epoch_learns_from_its_own_pictures(monkeypatch):
    right: list[list[bool]] = []

    def noting_prepare(chain, pictures, rows):
        right.append([torch.equal(pictures, drawn_anew(epoch, None)[rows]) for epoch in (1, 2)])
        return pictures

    monkeypatch.setattr(Chain, "prepare", noting_prepare)
    train(redraw=drawn_anew)
    batches = len(right) // 2
    assert right == [[True, False]] * batches + [[False, True]] * batches


def test_what_epic_leaves_takes_the_order_that_it_had(seen):
    plain, defended = what(seen, train), what(seen, lambda: train("epic"))
    left = defended["rows"][COUNT:]
    assert 2 < len(left) < COUNT
    second = plain["rows"][COUNT:]
    assert torch.equal(left, second[torch.isin(second, left)])
    assert torch.equal(plain["rows"][:COUNT], defended["rows"][:COUNT])
    assert torch.equal(plain["places"][:COUNT], defended["places"][:COUNT])


@pytest.mark.parametrize("name", ["compensation", "cutout", "mixup"])
def test_so_it_is_with_a_transfer(seen, name):
    body, sets = train().net, {"test_set": toy_set(9, side=16, seed=9)}

    def move(defence: str):
        settings = transfer_settings("fine-tune", overrides=fields(defence))
        transfer.transfer(body, toy_set(COUNT, side=16), mode="fine-tune", settings=settings, device="cpu", **sets)

    plain, defended = what(seen, lambda: move("")), what(seen, lambda: move(name))
    assert all(torch.equal(plain[noted], defended[noted]) for noted in seen)

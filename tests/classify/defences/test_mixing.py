"""Mixup and CutMix: pictures and labels share alike. Cutout: what lies outside the square stays."""

from __future__ import annotations

import pytest
import torch

from unpoison.classify.defences.cutout import cut_out


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_add_to_one_and_say_what_is_in_the_picture(make, name):
    """Pictures of one colour each: the mean of a mixed picture tells the shares in it."""
    labels = torch.arange(30) % 3
    colours = torch.eye(3)[labels][:, :, None, None].expand(-1, -1, 16, 16)
    shown, shares = make(name, probability=1.0).show(colours, labels, 1)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(30))
    torch.testing.assert_close(shown.mean(dim=(2, 3)), shares)
    assert (shares.max(dim=1).values < 0.99).sum() > 10
    again, shares_again = make(name, probability=1.0).show(colours, labels, 1)
    assert torch.equal(again, shown)
    assert torch.equal(shares_again, shares)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_with_probability_none_nothing_is_mixed(make, batch, name):
    pictures, labels = batch
    shown, shares = make(name, probability=0.0).show(pictures, labels, 1)
    assert torch.equal(shown, pictures)
    assert torch.equal(shares.argmax(dim=1), labels)


def test_a_box_is_one_rectangle_of_the_partner(make):
    pictures = torch.arange(20.0)[:, None, None, None].expand(-1, 3, 16, 16)
    shown, _ = make("cutmix", probability=1.0).show(pictures, torch.zeros(20, dtype=torch.int64), 1)
    for number, picture in enumerate(shown):
        foreign = picture[0] != number
        if foreign.any():
            rows, columns = foreign.any(dim=1).nonzero(), foreign.any(dim=0).nonzero()
            area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            assert area == foreign.sum()
            assert len(picture[:, foreign].unique()) == 1


def test_labels_that_are_mixed_already_are_mixed_again(make, batch):
    pictures, labels = batch
    shown, shares = make("mixup").show(pictures, labels, 1)
    _, twice = make("cutmix", probability=1.0).show(shown, shares, 1)
    torch.testing.assert_close(twice.sum(dim=1), torch.ones(len(labels)))


def test_cutout_leaves_alone_what_lies_outside(batch):
    pictures, _ = batch
    covered = cut_out(pictures, side=5, fill=torch.tensor(2.0), generator=torch.Generator().manual_seed(0))
    changed = covered != pictures
    assert (changed.sum(dim=(2, 3)) == 25).all()
    assert torch.equal(covered[~changed], pictures[~changed])
    assert (covered[changed] == 2).all()

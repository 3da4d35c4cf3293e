"""UEraser, adversarial training, Friendly Noise and gradient shaping: what each promises of pictures and gradients."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from unpoison.classify.defences.compression import squeeze
from unpoison.classify.defences.plasma import plasma


def state(lesson) -> dict[str, torch.Tensor]:
    return copy.deepcopy({name: value for name, value in lesson.net.state_dict().items() if value.is_floating_point()})


def test_of_all_draws_the_net_learns_from_the_one_with_the_largest_loss(make, lesson, batch, monkeypatch):
    ueraser = make("ueraser-max", draws=4)
    views = []
    change = ueraser.change
    monkeypatch.setattr(ueraser, "change", lambda pictures: views.append(change(pictures)) or views[-1])
    before = state(lesson)
    shown, _ = ueraser.show(*batch, epoch=10)
    for name, value in state(lesson).items():  # running statistics too
        assert torch.equal(value, before[name])
    losses = []
    for view in views:
        with torch.no_grad():
            losses.append(F.cross_entropy(lesson.net.train()(view), batch[1], reduction="none"))
    worst = torch.stack(losses).argmax(dim=0)
    assert len(worst.unique()) > 1
    assert torch.equal(shown, torch.stack(views)[worst, torch.arange(len(worst))])


@pytest.mark.parametrize(("name", "looks"), [("ueraser-lite", 0), ("ueraser", 3), ("ueraser-max", 10)])
def test_the_worst_is_sought_in_as_many_epochs_as_the_name_says(make, batch, monkeypatch, name, looks):
    ueraser = make(name, epochs=10, draws=2)
    seen = []
    monkeypatch.setattr(ueraser, "look", lambda view, targets: seen.append(1) or torch.zeros(len(view)))
    for epoch in range(1, 11):
        ueraser.show(*batch, epoch=epoch)
    assert len(seen) == 2 * looks


def test_changes_stay_in_range_and_are_taken_by_their_probability(make, batch):
    pictures, _ = batch
    many = pictures.repeat(10, 1, 1, 1)
    changed = make("ueraser").change(many)
    assert 0 <= changed.min() < changed.max() <= 1
    same = (changed == many).flatten(1).all(dim=1).float().mean()
    assert same == pytest.approx(0.5**2 * (0.5 + 0.5 / 6), abs=0.06)  # a sixth of the orders is the old one
    assert torch.equal(make("ueraser", probability=0.0).change(many), many)


def test_plasma_lies_between_0_and_1_and_is_smoother_with_less_roughness():
    like = torch.empty(400, 3, 20, 33)
    fields = {
        rough: plasma(like, torch.full((400,), rough), generator=torch.Generator().manual_seed(0))
        for rough in (0.1, 0.7)
    }
    steps = {rough: field.diff(dim=3).abs().mean() for rough, field in fields.items()}
    for field in fields.values():
        assert field.shape == like.shape
        assert 0 <= field.min() < field.max() <= 1
        assert field.mean() == pytest.approx(0.5, abs=0.02)
    assert steps[0.1] < steps[0.7] / 3


def test_a_batch_is_compressed_as_each_picture_alone_but_for_the_edges():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (7, 4, 4, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    batch = torch.from_numpy(coarse.transpose(0, 3, 1, 2).copy()).float() / 255
    source = torch.Generator().manual_seed(1)
    quality = int(torch.randint(10, 100, (1,), generator=torch.Generator().manual_seed(1)))
    squeezed = squeeze(batch, generator=source)
    for picture, done in zip(coarse, squeezed, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
        alone = np.asarray(Image.open(buffer).convert("RGB"))
        levels = (done * 255).round().numpy().transpose(1, 2, 0).astype(int)
        assert np.abs(levels - alone)[1:-1, 1:-1].max() == 0


def test_pictures_of_any_size_are_compressed():
    batch = torch.rand(5, 3, 21, 40, generator=torch.Generator().manual_seed(0))
    squeezed = squeeze(batch, generator=torch.Generator().manual_seed(0))
    assert squeezed.shape == batch.shape
    assert (squeezed - batch).abs().mean() > 0.01


def test_adversaries_stay_in_the_ball_and_raise_the_loss(make, lesson, batch):
    pictures, labels = batch
    before = state(lesson)
    moved, targets = make("adversarial", epsilon="4/255", steps=5, step_size="2/255").show(pictures, labels, 1)
    assert (moved - pictures).abs().max() <= 4 / 255 + 1e-6
    assert 0 <= moved.min() <= moved.max() <= 1
    assert not moved.requires_grad
    net = lesson.net.eval()
    with torch.no_grad():
        clean, hurt = (F.cross_entropy(net(shown), targets, reduction="none") for shown in (pictures, moved))
    assert (hurt > clean).float().mean() > 0.95
    for name, value in state(lesson).items():
        assert torch.equal(value, before[name])


def test_friendly_noise_grows_and_the_net_says_what_it_said(make, lesson):
    """Against noise of the same size that nobody sought, on a net that reads its pictures."""
    net = lesson.net
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(net.train()(lesson.inputs / 255), lesson.labels).backward()
        optimiser.step()
    grown = make("friendly-noise", growth=16.0, steps=60).search(lesson.inputs).float()
    assert grown.abs().max() <= 16 / 255 + 1e-4
    begun = 8 / 255 / 3**0.5
    assert grown.square().mean().sqrt() > 1.2 * begun
    signs = torch.rand(grown.shape, generator=torch.Generator().manual_seed(0)).sub(0.5).sign()

    def drift(noise):
        clean = lesson.inputs / 255
        with torch.no_grad():
            said, says = (net.eval()(shown).log_softmax(dim=1) for shown in (clean, (clean + noise).clamp(0, 1)))
        return F.kl_div(says, said, log_target=True, reduction="batchmean").item()

    assert drift(grown) < 0.6 * drift(grown.abs() * signs)


def test_friendly_noise_is_sought_once_and_other_noise_is_drawn_every_time(make, lesson):
    friendly = make("friendly-noise", warm_up=1, steps=1, noise_size="4/255")
    rows = torch.tensor([3, 40])
    clean = lesson.inputs[rows] / 255
    friendly.choose(torch.arange(48), 1)
    assert friendly.noise is None
    torch.testing.assert_close((friendly.prepare(lesson.inputs[rows], rows) - clean).abs(), 4 / 255 + 0 * clean)
    friendly.choose(torch.arange(48), 2)
    found = friendly.noise
    friendly.choose(torch.arange(48), 3)
    assert friendly.noise is found
    assert found.shape == lesson.inputs.shape
    first, second = (friendly.prepare(lesson.inputs[rows], rows) for _ in range(2))
    expected = (clean + found[rows].float()).clamp(0, 1)
    torch.testing.assert_close((first - expected).abs(), 4 / 255 + 0 * clean)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("length", [0.01, 100.0])
def test_gradients_are_no_longer_than_the_bound(make, lesson, length):
    parameters = list(lesson.net.parameters())
    source = torch.Generator().manual_seed(0)
    for parameter in parameters[1:]:  # one has none
        parameter.grad = torch.randn(parameter.shape, generator=source)
    before = _length(parameters)
    for parameter in parameters[1:]:
        parameter.grad *= length / before
    make("gradient-shaping", clip=1.0, noise=0.0).shape_gradients()
    assert _length(parameters) == pytest.approx(min(length, 1.0), rel=1e-4)
    clipped = [parameter.grad.clone() for parameter in parameters[1:]]
    make("gradient-shaping", clip=2.0, noise=0.5).shape_gradients()
    noise = torch.cat([(p.grad - c).flatten() for p, c in zip(parameters[1:], clipped, strict=True)])
    assert noise.std() == pytest.approx(1.0, rel=0.05)
    assert parameters[0].grad is None


def _length(parameters) -> float:
    return sum(p.grad.square().sum() for p in parameters if p.grad is not None).sqrt().item()

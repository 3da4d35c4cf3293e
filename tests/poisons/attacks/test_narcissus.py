"""Narcissus with a surrogate whose best trigger is known, and with one that it trains itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.classifier import Classifier, compute_logits
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.poisons.attacks import narcissus
from unpoison.poisons.attacks.narcissus import NarcissusPoison, NarcissusSettings, make_trigger, warm_up
from unpoison.poisons.crafting import poison
from unpoison.poisons.protocol import Resources

TOY = NarcissusSettings(
    target_class="c1",
    epsilon="8/255",
    images=4,
    choose="last",
    warmup_epochs=0,
    rounds=20,
    step_size="0.05",
    batch_size=8,
)
TINY = TOY.model_copy(
    update={"auxiliary_images": 5, "width": 4, "epochs": 1, "warmup_epochs": 1, "warmup_rate": 1e-3, "rounds": 6}
)


class RedNotBlue(nn.Module):
    """Takes a picture for the last of three classes the more red and the less blue it is."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, images):
        red, _, blue = images.mean(dim=(2, 3)).unbind(dim=1)
        return torch.stack([blue - red, blue - red - 1, red - blue], dim=1) + self.bias


def toy(last: str = "c1") -> Classifier:
    names = ["dog", "cup", last]
    return Classifier(RedNotBlue(), architecture="toy", width=4, class_names=names, mean=[0.0] * 3, std=[1.0] * 3)


@pytest.fixture
def auxiliary(make_set):
    """Two other classes, in pictures of another size."""
    return make_set(20, side=24, classes=2, seed=9)


def _craft(image_set, settings=TOY, *, seed=0, **resources):
    return poison(image_set, "narcissus", settings=settings, seed=seed, resources=Resources(device="cpu", **resources))


def test_the_trigger_is_the_corner_that_the_surrogate_asks_for(make_set):
    result = _craft(make_set(30), surrogates=[toy()])
    delta = result.trigger.delta
    assert (delta.shape, delta.dtype, result.trigger.target_class) == ((16, 16, 3), np.float32, 1)
    assert delta[..., 0] == pytest.approx(8 / 255)
    assert delta[..., 2] == pytest.approx(-8 / 255)
    assert (delta[..., 1] == 0).all()  # it does not look at green


def test_the_first_steps_are_as_long_as_in_units_from_minus_one_to_one(make_set):
    """Until RAdam knows how much slopes vary it follows their mean, whose length is the unit's."""
    settings = NarcissusSettings(epsilon="1/2", rounds=4, step_size="0.005", batch_size=16, precision="fp32")
    known, model = make_set(6).images, toy()
    found = make_trigger(known, [model], 2, settings, generator(0, "n"), Resources(device="cpu"))
    same, trigger, mean = generator(0, "n"), torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)
    for number in range(1, 5):
        (batch,) = narcissus._batches(known, settings, torch.device("cpu"), same)
        trigger.requires_grad_()
        seen = (2 * batch - 1 + trigger).clamp(-1, 1)
        nn.functional.cross_entropy(model((seen + 1) / 2), torch.full((6,), 2)).backward()
        mean = 0.9 * mean + 0.1 * trigger.grad
        trigger = (trigger - 0.01 * mean / (1 - 0.9**number)).detach()
    np.testing.assert_allclose(found, trigger.permute(1, 2, 0) / 2, rtol=1e-4, atol=1e-9)
    assert np.abs(found).max() > 1e-6


def test_only_the_last_of_the_class_change_and_by_epsilon_at_most(make_set):
    image_set = make_set(30)
    result = _craft(image_set, surrogates=[toy()])
    last = np.flatnonzero(image_set.labels == 1)[-4:]
    assert result.ids == tuple(image_set.ids[row] for row in last)
    stored, clean = result.image_set.array().astype(int), image_set.images.astype(int)
    untouched = np.setdiff1d(np.arange(30), last)
    assert (stored[untouched] == clean[untouched]).all()
    # Levels lie between 40 and 215, so that nothing is clipped.
    assert (stored - clean)[last].reshape(-1, 3).tolist() == [[8, 0, -8]] * (4 * 256)


def test_the_bound_holds_at_the_ends_of_the_range():
    ends = ArrayImageSet(np.tile(np.array([[0], [255], [252], [9]], np.uint8), (4, 16, 4, 3)), [0, 1, 1, 1])
    settings = TOY.model_copy(update={"target_class": "1", "images": 3, "rounds": 100})
    delta = _craft(ends, settings, surrogates=[toy("1")]).image_set.array().astype(int) - ends.images
    assert np.abs(delta).max() == 8
    assert delta[1, 0].tolist() == 4 * [[8, 0, 0], [0, 0, -8], [3, 0, -8], [8, 0, -8]]


def test_pictures_are_drawn_by_the_seed(make_set):
    image_set = make_set(60)
    drawn = TOY.model_copy(update={"choose": "random"})
    first, again, other = (_craft(image_set, drawn, seed=seed, surrogates=[toy()]) for seed in (0, 0, 1))
    assert first.ids == again.ids
    assert first.ids != other.ids
    assert len(first.ids) == 4
    assert {image_id for result in (first, other) for image_id in result.ids} <= {f"{n:08d}" for n in range(1, 60, 3)}


def test_facts_tell_what_the_trigger_does_to_the_surrogate(make_set):
    image_set = make_set(30)
    result = _craft(image_set, surrogates=[toy()])
    facts = result.step.facts
    known = image_set.images[image_set.labels == 1]
    logits = compute_logits(toy(), known)
    assert facts["surrogate_without_trigger"]["accuracy"] == (logits.argmax(dim=1) == 2).float().mean().item()
    loss = nn.functional.cross_entropy(logits, torch.full((10,), 2)).item()
    assert facts["surrogate_without_trigger"]["loss"] == pytest.approx(loss)
    assert facts["surrogate_with_trigger"]["loss"] < loss - 0.01
    assert (facts["kind"], facts["images"], facts["linf_255"]) == ("triggered", 4, 8)


def test_it_trains_its_own_surrogate_and_the_same_seed_gives_the_same_bytes(make_set, auxiliary):
    first, again, other = (_craft(make_set(30), TINY, seed=seed, auxiliary=auxiliary) for seed in (0, 0, 1))
    assert np.array_equal(first.trigger.delta, again.trigger.delta)
    assert first.image_set.content_hash == again.image_set.content_hash
    assert not np.array_equal(first.trigger.delta, other.trigger.delta)
    assert np.abs(first.trigger.delta).max() <= np.float32(8 / 255)
    facts = first.step.facts
    assert facts["surrogate_with_trigger"]["loss"] < facts["surrogate_without_trigger"]["loss"]
    assert facts["auxiliary"]["hash"] == auxiliary.content_hash


def test_the_surrogate_sees_the_target_class_after_the_public_ones(make_set, auxiliary, monkeypatch):
    seen = []
    monkeypatch.setattr(narcissus, "surrogates", lambda public, *_, **__: seen.append(public) or [toy()])
    image_set = make_set(30)
    _craft(image_set, TINY, auxiliary=auxiliary)
    (public,) = seen
    assert public.class_names == ("c0", "c1", "c1")
    assert public.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 10
    assert public.array().shape == (20, 16, 16, 3)
    assert np.array_equal(public.array()[10:], image_set.images[image_set.labels == 1])
    brightness = auxiliary.images[[0, 2, 4, 6, 8]].mean(axis=(1, 2, 3))
    assert public.array()[:5].mean(axis=(1, 2, 3)) == pytest.approx(brightness, abs=4)


def test_a_whole_clean_set_serves_the_surrogate_where_only_a_part_may_be_poisoned(make_set):
    whole = make_set(30)
    free = whole.subset(range(12))
    crafted = NarcissusPoison().craft(
        free, TOY, generator=generator(0, "n"), resources=Resources(clean_set=whole, surrogates=[toy()], device="cpu")
    )
    assert crafted.ids == ("00000001", "00000004", "00000007", "00000010")


def test_warm_up_teaches_a_copy(make_set):
    model, known = toy(), make_set(8).images
    settings = TOY.model_copy(update={"warmup_epochs": 12, "warmup_rate": 0.1})
    taught = warm_up(model, known, 2, settings, generator(0, "n"))
    assert model.net.bias.tolist() == [0, 0, 0]
    assert taught.net.bias[2] > taught.net.bias[0]
    assert not taught.training
    assert not taught.net.bias.requires_grad


def test_progress_is_told(make_set):
    steps = []
    resources = Resources(device="cpu", on_step=steps.append)
    make_trigger(make_set(8).images, [toy()], 2, TOY, generator(0, "n"), resources)
    assert [(info.step, info.total) for info in steps] == [(n, 20) for n in range(1, 21)]
    assert steps[-1].values["loss"] < steps[0].values["loss"]


def test_errors_name_what_is_wrong(make_set):
    image_set = make_set(30)
    with pytest.raises(SettingsError, match="narcissus needs a further set of pictures: name it with --auxiliary"):
        _craft(image_set, TINY)
    with pytest.raises(SettingsError, match="11 pictures of class 'c1', which has 10; set images to fewer"):
        _craft(image_set, TOY.model_copy(update={"images": 11}), surrogates=[toy()])
    with pytest.raises(SettingsError, match="no class 'bird'; it has c0, c1, c2"):
        _craft(image_set, TOY.model_copy(update={"target_class": "bird"}), surrogates=[toy()])
    with pytest.raises(SettingsError, match="last class of a surrogate must be the target class 'c1'"):
        _craft(image_set, surrogates=[toy("c2")])
    with pytest.raises(SettingsError, match="without a label"):
        _craft(ArrayImageSet(image_set.images, np.full(30, -1), class_names=["c1"]), surrogates=[toy()])

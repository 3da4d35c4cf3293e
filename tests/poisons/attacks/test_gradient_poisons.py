"""The engine, and the attacks that follow a network's gradient: each does to the network what its paper says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import unpoison
from unpoison.classify.classifier import Classifier, predict
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise, generator
from unpoison.core.pixels import to_float, to_uint8
from unpoison.poisons.attacks.adp import _defended
from unpoison.poisons.crafting import poison
from unpoison.poisons.engine.pgd import Ball, Descent, DescentSettings, cross_entropy, pgd
from unpoison.poisons.methods import METHODS
from unpoison.poisons.mixture import attack_settings
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.methods import DEFAULT
from unpoison.purifiers.settings import purifier_settings


class Brightness(nn.Module):
    """Knows three classes by how bright a picture is: 60, 120, 180."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 3)
        with torch.no_grad():  # -(b - c)^2 / 400 without the part that is the same for all classes
            centers = torch.tensor([60.0, 120.0, 180.0])
            self.linear.weight.copy_((2 * centers / 400 * 255)[:, None])
            self.linear.bias.copy_(-(centers**2) / 400)

    def forward(self, images):
        return self.linear(images.flatten(1).mean(dim=1, keepdim=True))


@pytest.fixture
def surrogate() -> Classifier:
    identity = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
    return Classifier(
        Brightness(), architecture="brightness", width=4, class_names="abc", mean=identity[0], std=identity[1]
    ).eval()


@pytest.fixture
def clean() -> ArrayImageSet:
    labels = np.arange(30) % 3
    noise = np.random.default_rng(0).integers(-8, 8, (30, 16, 16, 3))
    images = (60 + 60 * labels[:, None, None, None] + noise).astype(np.uint8)
    return ArrayImageSet(images, labels, class_names="abc")


def test_pgd_reaches_the_corner_of_the_ball_that_the_loss_asks_for():
    images = torch.tensor([0.5, 0.02]).view(1, 1, 1, 2)
    ball = Ball("linf", 0.1)
    delta = pgd(images, torch.zeros_like(images), lambda x: x.flatten(1).sum(1), ball=ball, step_size=0.03, steps=5)
    torch.testing.assert_close(delta, torch.tensor([-0.1, -0.02]).view(1, 1, 1, 2))  # the second stops at black


def test_pgd_in_l2_walks_straight_against_the_gradient_to_the_sphere():
    images = torch.full((2, 1, 1, 2), 0.5)
    slope = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    delta = pgd(
        images,
        torch.zeros_like(images),
        lambda x: (x * slope).flatten(1).sum(1),
        ball=Ball("l2", 0.2),
        step_size=0.05,
        steps=6,
    )
    torch.testing.assert_close(delta, torch.tensor([-0.12, -0.16]).view(1, 1, 1, 2).expand(2, 1, 1, 2))


def test_pgd_follows_the_gradient_back_through_what_it_is_shown():
    """The loss sees mirrored pictures and wants their left half dark: the right half of the picture must change."""
    images = torch.full((1, 1, 1, 4), 0.5)
    delta = pgd(
        images,
        torch.zeros_like(images),
        lambda x: x[..., :2].flatten(1).sum(1),
        ball=Ball("linf", 0.1),
        step_size=0.1,
        steps=1,
        view=lambda x: x.flip(3),
    )
    torch.testing.assert_close(delta.flatten(), torch.tensor([0.0, 0.0, -0.1, -0.1]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_and_projections_lie_in_the_ball(norm):
    ball, like = Ball(norm, 0.3), torch.zeros(5, 3, 8, 8)
    for drawn in (ball.draw(like, generator(0, "a")), ball.draw_uniform(like, generator(0, "b"))):
        sizes = drawn.abs().amax(dim=(1, 2, 3)) if norm == "linf" else drawn.flatten(1).norm(dim=1)
        assert sizes.max() <= 0.3 + 1e-6
        torch.testing.assert_close(ball.project(drawn), drawn)
        assert drawn.std() > 0


def test_the_best_of_several_starts_is_kept_for_each_image(surrogate, clean):
    """With one tiny step the start decides; eight starts must do at least as well as one, on every image."""
    labels = torch.from_numpy((clean.labels + 1) % 3)
    reached = {}
    for restarts in (1, 8):
        settings = DescentSettings(
            restarts=restarts, steps=1, step_size="0.001/255", crop_padding=0, flip=False, precision="fp32"
        )
        descent = Descent(settings, torch.device("cpu"), generator(0, "x"))
        images, loss = to_float(clean.array()), cross_entropy([surrogate.requires_grad_(False)], labels)
        reached[restarts] = loss(images + descent.perturb(images, loss))
    assert (reached[8] <= reached[1] + 1e-4).all()
    assert reached[8].mean() < reached[1].mean()


def test_several_models_share_the_loss(surrogate):
    images, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    one, two = cross_entropy([surrogate], labels)(images), cross_entropy([surrogate, surrogate], labels)(images)
    torch.testing.assert_close(one, two)
    assert one.shape == (4,)


def _stored(clean, attack, surrogate, **fields) -> np.ndarray:
    settings = attack_settings(attack, overrides={"epsilon": "40/255", "step_size": "8/255", "steps": 10, **fields})
    return poison(
        clean, attack, settings=settings, resources=Resources(surrogates=[surrogate], device="cpu")
    ).image_set.array()


def test_tap_makes_the_surrogate_see_the_next_class(surrogate, clean):
    stored = _stored(clean, "tap", surrogate, restarts=1, crop_padding=0)
    assert np.abs(stored.astype(int) - clean.array()).max() <= 40
    seen, moved = predict(surrogate, stored), clean.labels < 2  # from 180 to 60 is too far
    assert (seen[moved] == clean.labels[moved] + 1).all()
    assert stored[~moved].mean() < clean.array()[~moved].mean() - 30


def test_untargeted_tap_leaves_the_own_class(surrogate, clean):
    stored = _stored(clean, "tap", surrogate, restarts=1, crop_padding=0, aim="untargeted")
    middle = clean.labels == 1
    assert (predict(surrogate, stored)[middle] != 1).all()


def test_hypo_makes_the_surrogate_surer_of_the_truth(surrogate, clean):
    labels = torch.from_numpy(clean.labels)
    before = cross_entropy([surrogate], labels)(to_float(clean.array()))
    after = cross_entropy([surrogate], labels)(to_float(_stored(clean, "hypo", surrogate)))
    assert after[labels == 1].mean() <= before[labels == 1].mean() + 1e-3
    assert after[labels == 0].mean() < before[labels == 0].mean() / 2


SMALL = {"width": 8, "steps": 3, "training_batch": 16}


def test_em_leaves_its_surrogate_no_error_and_stops_when_told(make_set):
    image_set = make_set(60)
    settings = attack_settings("em", overrides={**SMALL, "step_size": "2/255", "rounds": 8, "stop_error": 0.0})
    result = poison(image_set, "em", settings=settings)
    facts = result.step.facts
    assert facts["linf_255"] <= 8
    assert facts["rounds"] == 8
    assert facts["surrogate_error"] < 0.1
    stopped = settings.model_copy(update={"stop_error": 0.9})
    assert poison(image_set, "em", settings=stopped).step.facts["rounds"] < 8


def test_class_wise_em_is_one_noise_for_a_class(make_set):
    clean = make_set(24)
    settings = attack_settings("em", profiles=["class-wise"], overrides={**SMALL, "rounds": 1})
    result = poison(clean, "em", settings=settings)
    delta = result.image_set.array().astype(int) - clean.array()
    for label in range(3):
        assert (delta[clean.labels == label] == delta[clean.labels == label][0]).all()
    assert len(np.unique(delta, axis=0)) == 3
    assert result.step.facts["profile"] == "class-wise"
    assert set(result.step.facts["changed"]) == {"width", "steps", "training_batch", "rounds"}


def test_rem_adversary_raises_the_loss_that_its_noise_lowers(make_set):
    from unpoison.poisons.attacks.rem import _Robust
    from unpoison.poisons.engine.bilevel import new_learner

    image_set = make_set(24)
    fields = {**SMALL, "transforms": 1, "adversary_steps": 3, "adversary_step_size": "2/255", "precision": "fp32"}
    settings = attack_settings("rem", overrides={**fields, "step_size": "4/255"})
    learner = new_learner(image_set, settings, generator=generator(0, "rem"), resources=Resources(device="cpu"))
    images, labels = to_float(image_set.array()), torch.from_numpy(image_set.labels)
    for _ in range(10):
        learner.learn(images, labels)
    robust, loss = _Robust(learner.net, settings, generator(1, "rem")), cross_entropy([learner.net], labels)
    worse = robust.attack(images, labels)
    assert (worse - images).abs().max() <= 4 / 255 + 1e-6
    delta = robust.minimise(images, labels)
    assert delta.abs().max() <= 8 / 255 + 1e-6
    assert loss(worse).mean() > loss(images).mean()
    assert loss(robust.attack(images + delta, labels)).mean() < loss(worse).mean()


def test_adp_knows_the_purification_when_it_is_told(make_set):
    image_set = make_set(12)
    fields = {**SMALL, "rounds": 1, "stop_error": 0.0, "step_size": "4/255"}
    blind = poison(image_set, "adp", settings=attack_settings("adp", overrides=fields))
    fair = poison(
        image_set, "adp", settings=attack_settings("adp", overrides={**fields, "through": "fast", "draws": 2})
    )
    assert set(fair.step.facts["purifier_weights"]) == {"pocket-free.safetensors"}
    assert not np.array_equal(blind.image_set.array(), fair.image_set.array())
    assert fair.step.facts["linf_255"] <= 8


def test_what_adp_goes_through_is_recorded_with_the_name_of_its_model():
    fields = {"through": "despeckle+fast"}
    assert attack_settings("adp", overrides=fields).described()["through_settings"] == {"model": "pocket-free"}
    fields["through_settings"] = {"fast.model": "pocket", "fast.sigma": "12/255"}  # the default when records began
    assert attack_settings("adp", overrides=fields).described()["through_settings"] == {"fast.sigma": "12/255"}
    fields["through_settings"] = {"fast.model": "there/mine.safetensors"}
    assert attack_settings("adp", overrides=fields).described()["through_settings"] == {
        "fast.model": "mine.safetensors"
    }


def test_adp_with_the_seed_sees_what_the_purification_will_give(make_set):
    image_set = make_set(6)
    fields = {"through": DEFAULT, "grayscale_probability": 0.0, "noise_sigma": 0.0}
    purifier = build_purifier(purifier_settings(DEFAULT), device=torch.device("cpu"))
    images, rows = to_float(image_set.array()), torch.arange(6)
    right = unpoison.purify(image_set, seed=7).array().astype(int)
    for seed, near in ((7, True), (8, False), (None, False)):
        settings = attack_settings("adp", overrides={**fields, "known_seed": seed})
        show = _defended(image_set, settings, purifier, device=torch.device("cpu"), generator=torch.Generator())
        seen = to_uint8(show(images, rows)).astype(int)
        assert (abs(seen - right).mean() < 1) == near  # int8 against fp32


@pytest.mark.parametrize("method", ["fast", "despeckle+jpeg+fast", DEFAULT])
def test_gradients_flow_through_purification(make_set, method):
    """What the fair attack rests on: a change of the poisoned image changes the purified one."""
    purifier = build_purifier(purifier_settings(method), device=torch.device("cpu"))
    images = to_float(make_set(2).array()).requires_grad_()
    purifier.purify(images, noise=Noise(0, "test", ["a", "b"])).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().mean() > 0.01


SMALLEST = {
    "adp": {"width": 4, "steps": 1, "rounds": 1},
    "dune": {"width": 4, "steps": 1, "epochs": 1, "checkpoints": 1},
    "em": {"width": 4, "steps": 1, "rounds": 1},
    "rem": {"width": 4, "steps": 1, "training_steps": 1, "transforms": 1, "adversary_steps": 1},
    "tap": {"width": 4, "steps": 2, "epochs": 1, "restarts": 1},
    "hypo": {"width": 4, "steps": 2, "epochs": 1},
}


def test_every_gradient_attack_has_both_profiles():
    for attack in SMALLEST:
        assert attack_settings(attack, profiles=["paper"]) == attack_settings(attack)
        assert attack_settings(attack, profiles=["small"]) != attack_settings(attack)
    assert set(SMALLEST) < set(METHODS)

"""Bullseye Polytope and gradient matching: their losses against slow ones, and what they do to a small network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, build_net, features
from unpoison.classify.methods import METHODS
from unpoison.core.errors import SettingsError
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks import bullseye, gradient_matching
from unpoison.poisons.attacks.bullseye import BullseyeSettings, before_last, bullseye_loss, observe, stages
from unpoison.poisons.attacks.gradient_matching import (
    GradientMatchingSettings,
    cosine,
    matching_loss,
    training_gradient,
    whole_cosine,
)
from unpoison.poisons.crafting import poison
from unpoison.poisons.engine.adam import channel_unit, descend, stored_ball
from unpoison.poisons.protocol import Resources

QUICK = {
    "bullseye": BullseyeSettings(poisons=4, iterations=12, epsilon="16/255"),
    "gradient-matching": GradientMatchingSettings(
        poisons=6, iterations=12, restarts=1, batch_size=4, epsilon="16/255", crop_padding=1
    ),
}


class Small(nn.Module):
    """Two stages without a mean over the picture, so that pictures differ in what even random weights make of them."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Softplus(10))
        self.layer2 = nn.Sequential(nn.Conv2d(8, 8, 2, stride=2), nn.Softplus(10))
        self.linear = nn.Linear(8 * 2 * 2, 3)

    def forward(self, images):
        return self.linear(self.layer2(self.layer1(images)).flatten(1))


def classifier(seed: int = 0, architecture: str = "small", width: int = 4) -> Classifier:
    if architecture == "small":
        net, source = Small(), torch.Generator().manual_seed(seed)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.3, generator=source)
    else:
        net = build_net(architecture, classes=3, width=width, seed=seed)
    names = ("c0", "c1", "c2")
    return Classifier(
        net, architecture=architecture, width=width, class_names=names, mean=[0.5] * 3, std=[0.25] * 3
    ).eval()


@pytest.fixture(autouse=True)
def _one_thread():
    """Nets this small lose much by waiting for a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def attacked(make_set):
    """Poisons a set with an attack, its settings changed."""

    def attack(name: str, *, seed: int = 0, models: int = 1, **changes):
        image_set = make_set(30)
        resources = Resources(
            surrogates=[classifier(number) for number in range(models)], target_set=make_set(9, seed=5), device="cpu"
        )
        settings = QUICK[name].model_copy(update=changes)
        return image_set, poison(image_set, name, settings=settings, seed=seed, resources=resources)

    return attack


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("epsilon", ["8/255", "0.1"])
def test_only_pictures_of_the_intended_class_change_and_stay_within_the_bound(name, epsilon, attacked):
    image_set, result = attacked(name, epsilon=epsilon)
    part, change = result.parts[name], result.image_set.array().astype(int) - image_set.images
    changed = np.flatnonzero(change.any(axis=(1, 2, 3)))
    assert [image_set.ids[row] for row in changed] == list(part.ids)
    assert len(changed) == QUICK[name].poisons
    assert set(image_set.labels[changed]) == {part.target.intended_class}
    assert part.target.intended_class != part.target.true_class
    limit = {"8/255": 8, "0.1": 25}[epsilon]
    assert limit - 2 <= np.abs(change).max() <= limit
    assert part.kind == "triggerless"


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides_and_surrogates_are_left_alone(name, make_set):
    model = classifier().requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    resources = Resources(surrogates=[model], target_set=make_set(9, seed=5), device="cpu")
    first, again, other = (
        poison(make_set(30), name, settings=QUICK[name], seed=seed, resources=resources) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.image_set.array(), again.image_set.array())
    assert not np.array_equal(first.image_set.array(), other.image_set.array())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", QUICK)
def test_a_resnet_of_width_16_is_enough_to_work_on(name, make_set):
    model = classifier(architecture="resnet18", width=16)
    resources = Resources(surrogates=[model], target_set=make_set(9, seed=5), device="cpu")
    settings = QUICK[name].model_copy(update={"iterations": 3})
    facts = poison(make_set(30), name, settings=settings, resources=resources).parts[name].facts
    assert len(set(facts.values())) > 1
    assert np.isfinite(list(facts.values())).all()


@pytest.mark.parametrize("name", QUICK)
def test_without_surrogates_one_is_trained(name, make_set):
    settings = QUICK[name].model_copy(update={"width": 4, "epochs": 1, "iterations": 1})
    result = poison(
        make_set(30), name, settings=settings, resources=Resources(target_set=make_set(9, seed=5), device="cpu")
    )
    assert result.parts[name].images.shape == (settings.poisons, 16, 16, 3)


@pytest.mark.parametrize(("mode", "dropout", "repeats"), [("linear", 0, 1), ("end-to-end", 0, 1), ("linear", 0.2, 2)])
def test_bullseye_reaches_the_target_in_features(mode, dropout, repeats, attacked):
    _, result = attacked("bullseye", mode=mode, dropout=dropout, repeats=repeats, models=2, epsilon="0.2")
    part = result.parts["bullseye"]
    assert part.facts["loss_after"] < 0.7 * part.facts["loss_before"]
    assert part.facts["feature_distance_after"] < 0.7 * part.facts["feature_distance_before"]
    # The facts speak of what was stored.
    models, aim = [classifier(0), classifier(1)], to_float(part.target.image[None])
    stored = to_float(part.images)
    with torch.no_grad():
        centres = [(features(model, stored).mean(dim=0), features(model, aim)[0]) for model in models]
    distances = [((centre - target).norm() / target.norm()).item() for centre, target in centres]
    assert part.facts["feature_distance_after"] == pytest.approx(np.mean(distances), rel=1e-4)
    assert (part.facts["loss_after"] == part.facts["feature_distance_after"]) == (mode == "linear")


def levels_of_resnet(body: Classifier, picture: torch.Tensor) -> list[torch.Tensor]:
    """What the authors' code looks at: the first block of the last stage [C, H, W], and the features [D]."""
    net = body.net
    stem = F.relu(net.bn1(net.conv1((picture[None] - 0.5) / 0.25)))
    middle = net.layer4[0](net.layer3(net.layer2(net.layer1(stem))))
    return [middle[0], net.layer4[1](middle).mean(dim=(2, 3))[0]]


@pytest.mark.parametrize(("mode", "levels"), [("linear", [1]), ("end-to-end", [0, 1])])
@torch.no_grad()
def test_bullseyes_loss_is_that_of_the_authors_code(mode, levels, make_set):
    """Place by place: how far the mean of the poisons is from the target, in lengths of the target's channels there."""
    bodies = [classifier(seed, "resnet18") for seed in (0, 1)]
    poisons, target = to_float(make_set(3, side=32).images), to_float(make_set(1, side=32, seed=1).images)
    of_bodies = []
    for body in bodies:
        aims, seen = levels_of_resnet(body, target[0]), [levels_of_resnet(body, picture) for picture in poisons]
        of_levels = []
        for level in levels:
            aim, centre = aims[level], sum(one[level] for one in seen) / len(poisons)
            channels = range(len(aim))
            ratios = [
                sum((centre[(c, *at)] - aim[(c, *at)]) ** 2 for c in channels) ** 0.5
                / sum(aim[(c, *at)] ** 2 for c in channels) ** 0.5
                for at in np.ndindex(aim.shape[1:])
            ]
            of_levels.append(float(sum(ratios)) / len(ratios))
        of_bodies.append(np.mean(of_levels))
    assert bullseye_loss(bodies, poisons, target, mode=mode).item() == pytest.approx(np.mean(of_bodies), rel=1e-4)


def test_places_where_the_target_shows_nothing_are_left_out():
    """There the ratio of the authors' code is infinite."""
    level = torch.ones(3, 2, 1, 2)
    level[0, :, 0, 0] = 0
    level[1:, :, 0, 1] = 3
    assert bullseye._off_centre(level).item() == pytest.approx(2)


def test_features_are_averaged_over_draws_of_dropout(make_set):
    body, pictures = classifier(), to_float(make_set(4).images)
    draws = torch.Generator().manual_seed(0)
    levels = torch.stack([observe(body, pictures, dropout=0.5, generator=draws)[-1] for _ in range(3)]).mean(dim=0)
    assert not torch.allclose(levels, observe(body, pictures)[-1], rtol=0.1)
    expected = (levels[1:].mean(dim=0) - levels[0]).norm() / levels[0].norm()
    found = bullseye_loss(
        [body],
        pictures[1:],
        pictures[:1],
        mode="linear",
        repeats=3,
        dropout=0.5,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(found, expected)


def test_repeats_without_dropout_are_refused(attacked):
    with pytest.raises(SettingsError, match="set dropout"):
        attacked("bullseye", repeats=3)


@pytest.mark.parametrize(
    ("architecture", "count"),
    [("resnet18", 4), ("resnet50", 4), ("vgg11", 5), ("vgg16", 5), ("densenet121", 4), ("mobilenetv2", 17)],
)
def test_stages_and_levels_of_every_kind_of_net(architecture, count):
    assert architecture in METHODS
    body = classifier(architecture=architecture, width=8)
    assert len(stages(body)) == count
    middle, last = observe(body, torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert (middle.ndim, last.ndim) == (4, 2)
    assert len(middle) == len(last) == 2
    assert not any(module._forward_hooks for module in body.modules())


def test_the_block_before_the_last_of_a_resnet_is_in_its_last_stage():
    small, large = (classifier(architecture=name, width=8) for name in ("resnet18", "resnet50"))
    assert before_last(small) is small.net.layer4[0]
    assert before_last(large) is large.net.layer4[1]


def test_the_matching_loss_is_one_less_the_cosine_of_the_gradients(make_set):
    models, images = [classifier(0), classifier(1)], to_float(make_set(5).images)
    labels, aim = torch.tensor([1] * 5), to_float(make_set(1, seed=9).images)
    wanted, cosines = [], []
    for model in models:
        wanted.append(training_gradient(model, aim, labels[:1]))
        flat = []
        for picture, label in zip(images, labels, strict=True):  # image by image, and the mean of their gradients
            model.zero_grad()
            F.cross_entropy(model(picture[None]), label[None]).backward()
            flat.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
        target = torch.cat([part.flatten() for part in wanted[-1]])
        cosines.append(F.cosine_similarity(torch.stack(flat).mean(dim=0), target, dim=0).item())
    assert matching_loss(models, images, labels, wanted).item() == pytest.approx(1 - np.mean(cosines), rel=1e-3)
    assert whole_cosine(models, images, labels, wanted, 2) == pytest.approx(np.mean(cosines), rel=1e-3)


def test_the_matching_loss_has_the_slope_that_differences_show(make_set):
    model = classifier().double()
    images = to_float(make_set(3).images).double().requires_grad_()
    labels = torch.tensor([1, 1, 1])
    wanted = [training_gradient(model, to_float(make_set(1, seed=9).images).double(), labels[:1])]
    (slope,) = torch.autograd.grad(matching_loss([model], images, labels, wanted), images)
    way = torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    there, back = (matching_loss([model], images + step * way, labels, wanted) for step in (1e-6, -1e-6))
    assert ((there - back) / 2e-6).item() == pytest.approx((slope * way).sum().item(), rel=1e-3)


def test_cosine_of_gradients_in_parts():
    first, second = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])], [torch.tensor([0.0]), torch.tensor([[0.0, 2.0]])]
    assert cosine(first, second).item() == pytest.approx(0.8)
    assert cosine(first, first).item() == pytest.approx(1)


def test_gradient_matching_raises_the_cosine(attacked):
    _, result = attacked("gradient-matching", iterations=25, crop_padding=0, flip=False, models=2)
    facts = result.parts["gradient-matching"].facts
    assert facts["cosine_after"] > facts["cosine_before"] + 0.1


def test_of_several_restarts_the_best_is_kept(attacked):
    plain = {"crop_padding": 0, "flip": False, "iterations": 3, "batch_size": 6}
    one, four = (
        attacked("gradient-matching", restarts=restarts, **plain)[1].parts["gradient-matching"].facts
        for restarts in (1, 4)
    )
    assert four["cosine_after"] >= one["cosine_after"] - 1e-3


def test_adam_walks_to_the_corner_that_the_slope_asks_for():
    images = torch.tensor([0.5, 0.02]).repeat(3).view(1, 3, 1, 2)
    unit, told = torch.tensor([0.2, 0.2, 0.4]).view(1, 3, 1, 1), []
    delta = descend(
        images,
        torch.zeros_like(images),
        lambda delta: (delta.sum().item(), torch.ones_like(delta)),
        ball=stored_ball("0.1"),
        unit=unit,
        learning_rate=0.1,
        steps=1,
        signed=True,
        on_step=told.append,
    )
    # The first step of Adam is as long as its rate: 0.1 units, which are 0.02 or 0.04 in pixels; black stops it.
    torch.testing.assert_close(delta[0, :, 0, 0], torch.tensor([-0.02, -0.02, -0.04]))
    torch.testing.assert_close(delta[0, :, 0, 1], torch.full((3,), -0.02))
    assert [(info.step, info.total, info.values["loss"]) for info in told] == [(1, 1, 0.0)]


def test_the_rate_falls_at_the_shares_of_the_steps():
    images, path = torch.full((1, 3, 1, 1), 0.5), []

    def slope(delta):
        path.append(delta[0, 0, 0, 0].item())
        return 0.0, torch.ones_like(delta)

    descend(
        images,
        torch.zeros_like(images),
        slope,
        ball=stored_ball("1/2"),
        unit=torch.ones(1, 3, 1, 1),
        learning_rate=0.01,
        steps=8,
        decay_at=(3 / 8, 5 / 8),
    )
    assert np.diff(path) == pytest.approx([-0.01] * 3 + [-0.001] * 2 + [-0.0001] * 2, rel=1e-2)


def test_gradient_matching_lowers_its_rate_where_the_authors_code_does():
    """Of 250 steps after 93, 156 and 218: 3/8, 5/8 and 7/8 of them, down to whole ones."""
    images, path = torch.full((1, 3, 1, 1), 0.5), []
    descend(
        images,
        torch.zeros_like(images),
        lambda delta: path.append(delta[0, 0, 0, 0].item()) or (0.0, torch.ones_like(delta)),
        ball=stored_ball("1/2"),
        unit=torch.ones(1, 3, 1, 1),
        learning_rate=1e-3,
        steps=250,
        decay_at=gradient_matching._DECAY_AT,
    )
    lengths = -np.diff(path)
    falls = [step for step in range(1, len(lengths)) if lengths[step] < lengths[step - 1] / 5]
    assert falls == [93, 156, 218]


def test_several_surrogates_share_the_rate(attacked, monkeypatch):
    rates = []
    whole = gradient_matching.descend
    monkeypatch.setattr(
        gradient_matching,
        "descend",
        lambda *args, **more: rates.append(more["learning_rate"]) or whole(*args, **more),
    )
    for models in (1, 4):
        attacked("gradient-matching", models=models, iterations=1)
    assert rates == [0.1, 0.025]


def test_bounds_are_whole_levels(make_set):
    assert [stored_ball(bound).epsilon * 255 for bound in ("8/255", "0.1", "1/255")] == pytest.approx([8, 25, 1])
    with pytest.raises(SettingsError, match="less than one level"):
        stored_ball("0.5/255")
    image_set = make_set(10)
    expected = (image_set.images / 255).std(axis=(0, 1, 2))
    assert channel_unit(image_set, torch.device("cpu")).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_paper_values_are_the_defaults():
    bullseye, matching = BullseyeSettings(), GradientMatchingSettings()
    assert (bullseye.epsilon, bullseye.poisons, bullseye.iterations, bullseye.learning_rate) == ("0.1", 5, 800, 0.04)
    assert (matching.epsilon, matching.poisons, matching.iterations, matching.restarts) == ("16/255", 500, 250, 8)

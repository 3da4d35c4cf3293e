"""SEP and EntF: what they do to the features of networks whose features are known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.classifier import Classifier, build_net, compute_logits, features, predict
from unpoison.classify.saving import hash_classifier
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks.entf import EntfPoison, EntfSettings, adversary
from unpoison.poisons.attacks.sep import SepPoison, SepSettings, gradient, protect, reduced_variance
from unpoison.poisons.engine.centroids import centroids
from unpoison.poisons.engine.pgd import cross_entropy
from unpoison.poisons.engine.surrogates import surrogates, train_checkpoints
from unpoison.poisons.protocol import Resources

GREYS = np.array([80, 110, 170])  # of three classes
VARIANTS = ["plain", "fa", "fa-vr"]
TINY = {"width": 4, "precision": "fp32"}


@pytest.fixture
def greys() -> ArrayImageSet:
    """Thirty noisy grey pictures, a little brighter or darker than their class."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    brightness = GREYS[labels][:, None, None, None] + rng.integers(-6, 7, (30, 1, 1, 3))
    images = brightness + rng.integers(-3, 4, (30, 8, 8, 3))
    return ArrayImageSet(images.astype(np.uint8), labels, class_names=["dark", "middle", "bright"])


def nearest_grey(*, mean: float = 0.0, std: float = 1.0) -> Classifier:
    """Its features are the mean colour, (colour - mean) / std; its logits are highest for the nearest of the greys."""
    places = ((torch.from_numpy(GREYS) / 255 - mean) / std).float()[:, None].expand(3, 3)
    linear = nn.Linear(3, 3)
    with torch.no_grad():
        linear.weight.copy_(20 * places)
        linear.bias.copy_(-10 * places.square().sum(dim=1))
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return Classifier(
        net, architecture="nearest", width=4, class_names=["a", "b", "c"], mean=[mean] * 3, std=[std] * 3
    ).eval()


def resources(*given: Classifier) -> Resources:
    return Resources(surrogates=given, device="cpu")


def craft(attack, image_set, settings, given=(), seed=0) -> np.ndarray:
    source = generator(seed, "test")
    return attack.craft(image_set, settings, generator=source, resources=resources(*given)).images


def colour(images: np.ndarray) -> np.ndarray:
    return images.astype(float).mean(axis=(1, 2))


def test_centroids_agree_with_a_slow_loop(make_set):
    image_set = make_set(23, classes=4)
    net = Classifier(
        build_net("resnet18", classes=4, width=4, seed=0),
        architecture="resnet18",
        width=4,
        class_names=image_set.class_names,
        mean=[0.5] * 3,
        std=[0.2] * 3,
    ).eval()
    expected = torch.zeros(4, 32)
    for label in range(4):
        members = np.flatnonzero(image_set.labels == label)
        for row in members:
            expected[label] += features(net, to_float(image_set.images[row : row + 1]))[0].detach() / len(members)
    torch.testing.assert_close(centroids(net, image_set, batch_size=5), expected, rtol=1e-4, atol=1e-5)
    assert expected.std(dim=0).max() > 1e-3  # a hundred times what is forgiven


def test_centroids_need_a_picture_of_every_class(greys):
    with pytest.raises(SettingsError, match="no picture of class 'bright'"):
        centroids(nearest_grey(), greys.subset(np.flatnonzero(greys.labels < 2)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_sep_makes_every_checkpoint_see_the_target_class(greys, variant):
    # Their features lie in different places, so the class means of one of them would mislead the others.
    checkpoints = [nearest_grey(), nearest_grey(mean=0.5), nearest_grey(mean=-0.5, std=0.5)]
    settings = SepSettings(
        variant=variant, epsilon="80/255", step_size="2/255", steps=45, inner_steps=4, precision="fp32"
    )
    stored = craft(SepPoison(), greys, settings, checkpoints)
    assert np.abs(stored.astype(int) - greys.images).max() <= 80
    for checkpoint in checkpoints:
        assert (predict(checkpoint, greys.images) == greys.labels).all()
        seen = predict(checkpoint, stored)
        # From 170 down to 80 is too far to arrive, but not too far to be nearer to it.
        assert (seen == (greys.labels + 1) % 3).all()


def test_sep_stops_where_the_features_are_those_of_the_target_class(greys):
    """Unlike the cross-entropy, which pushes beyond, feature alignment has a place to reach."""
    settings = SepSettings(variant="fa", epsilon="80/255", step_size="1/255", steps=70, precision="fp32")
    stored = craft(SepPoison(), greys, settings, [nearest_grey()])
    assert np.abs(colour(stored)[greys.labels == 0] - 110).max() < 4
    further = craft(SepPoison(), greys, settings.model_copy(update={"variant": "plain"}), [nearest_grey()])
    assert colour(further)[greys.labels == 0].mean() > 115


def linear_losses(count: int) -> list:
    """Losses whose gradient is the same everywhere, and another for each checkpoint."""
    slopes = torch.randn(count, 3, 4, 4, generator=generator(3, "slopes"))
    return [lambda images, slope=slope: (images * slope).flatten(1).sum(dim=1) for slope in slopes]


def test_reduced_variance_is_none_where_gradients_do_not_change_along_the_walk():
    """Whichever checkpoint is drawn, the corrected gradient is the mean of all; without the correction it is not."""
    losses, clean = linear_losses(4), torch.full((2, 3, 4, 4), 0.5)
    gradients = torch.stack([gradient(loss, clean) for loss in losses])
    settings = SepSettings(inner_steps=5)
    for seed in range(3):
        total = reduced_variance(
            clean, gradients, losses, clean=clean, settings=settings, generator=generator(seed, "walk")
        )
        torch.testing.assert_close(total, 5 * gradients.mean(dim=0))


def test_fa_vr_with_equal_checkpoints_and_one_inner_step_is_fa(greys):
    clean = to_float(greys.images)
    losses = 3 * [cross_entropy([nearest_grey()], torch.from_numpy((greys.labels + 1) % 3))]
    mean = torch.stack([gradient(loss, clean) for loss in losses]).mean(dim=0)
    settings = {variant: SepSettings(variant=variant, inner_steps=1, steps=3) for variant in VARIANTS}
    total = reduced_variance(
        clean,
        torch.stack([mean] * 3),
        losses,
        clean=clean,
        settings=settings["fa-vr"],
        generator=generator(0, "walk"),
    )
    torch.testing.assert_close(total, mean)
    moved = {variant: protect(clean, losses, settings[variant], generator(0, "walk")) for variant in ("fa", "fa-vr")}
    assert torch.equal(moved["fa"], moved["fa-vr"])
    assert not torch.equal(moved["fa"], clean)


def test_sep_keeps_equally_spaced_copies_of_one_training(make_set):
    image_set, settings = make_set(30), SepSettings(checkpoints=2, epochs=4, **TINY)
    kept = train_checkpoints("sep", image_set, settings, generator=generator(0, "test"), resources=resources())
    hashes = []
    surrogates(
        image_set,
        settings,
        generator=generator(0, "test"),
        resources=resources(),
        on_epoch=lambda _, net: hashes.append(hash_classifier(net)),
    )
    assert [hash_classifier(net) for net in kept] == [hashes[1], hashes[3]]
    assert not any(net.training or parameter.requires_grad for net in kept for parameter in net.parameters())


def test_surrogates_that_number_the_same_classes_differently_are_refused(greys):
    net = nearest_grey()
    for names, refused in (
        (("dark", "middle", "bright"), False),
        (("dark", "middle", "bright", "more"), False),
        (("cat", "dog", "emu"), False),  # of other classes: only its features count
        (("bright", "middle", "dark"), True),
        (("dark", "other", "middle", "bright"), True),
    ):
        net.class_names = names
        ask = partial(surrogates, greys, EntfSettings(**TINY), generator=generator(0, "test"))
        if refused:
            with pytest.raises(SettingsError, match="a surrogate numbers its classes"):
                ask(resources=Resources(surrogates=[net]))
        else:
            assert ask(resources=Resources(surrogates=[net]))[0] is net


def test_sep_settings_are_those_of_the_paper():
    assert [SepSettings(variant=variant).checkpoints for variant in VARIANTS] == [30, 30, 15]
    assert SepSettings(variant="fa", checkpoints=4).checkpoints == 4
    plain = SepSettings(variant="plain")
    assert SepSettings.model_validate_json(plain.model_dump_json()) == plain


def test_entf_push_moves_features_away_from_their_own_centroid(greys):
    settings = EntfSettings(epsilon="8/255", steps=20, step_size="1/255", crop_padding=0, precision="fp32")
    stored = craft(EntfPoison(), greys, settings, [nearest_grey()])
    centre = np.stack([colour(greys.images)[greys.labels == label].mean(axis=0) for label in range(3)])[greys.labels]
    before, after = (np.linalg.norm(colour(images) - centre, axis=1) for images in (greys.images, stored))
    assert (after > before).all()
    assert (after - before).mean() > 0.9 * 8 * np.sqrt(3) * 0.8
    assert np.abs(stored.astype(int) - greys.images).max() == 8


def test_entf_pull_moves_features_to_the_nearest_centroid_of_another_class(greys):
    settings = EntfSettings(aim="pull", epsilon="8/255", steps=20, step_size="1/255", crop_padding=0, precision="fp32")
    stored = craft(EntfPoison(), greys, settings, [nearest_grey(mean=0.3, std=0.4)])
    change = (colour(stored) - colour(greys.images)).mean(axis=1)
    # Of 80, 110 and 170, the neighbours are 110, 80 and 110; the nearest of all would be their own.
    for label, change_wanted in enumerate([8, -8, -8]):
        np.testing.assert_allclose(change[greys.labels == label], change_wanted, atol=0.2)


def test_the_reference_learns_from_images_that_mislead_it(make_set):
    image_set = make_set(30)
    net = Classifier(
        build_net("resnet18", classes=3, width=4, seed=0),
        architecture="resnet18",
        width=4,
        class_names=image_set.class_names,
        mean=[0.5] * 3,
        std=[0.2] * 3,
    )
    before, batch, labels = hash_classifier(net), to_float(image_set.images), torch.from_numpy(image_set.labels)
    perturb = adversary(EntfSettings(precision="fp32"), generator(0, "test"))
    shown = perturb(net.train(), batch, labels)
    change = (shown - batch).abs().amax(dim=(1, 2, 3)) * 255
    assert change.min() > 2
    assert change.max() <= 4 + 1e-3
    loss = cross_entropy([net.eval()], labels)
    with torch.no_grad():
        assert (loss(shown) > loss(batch)).all()
    assert hash_classifier(net) == before
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not torch.equal(perturb(net, batch, labels), shown)


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        *[
            (SepPoison(), SepSettings(variant=variant, checkpoints=2, inner_steps=2, epochs=2, steps=3, width=4))
            for variant in VARIANTS
        ],
        (EntfPoison(), EntfSettings(aim="push", epochs=1, reference_steps=1, steps=3, step_size="4/255", width=4)),
        (EntfPoison(), EntfSettings(aim="pull", epochs=1, reference_steps=1, steps=3, step_size="4/255", width=4)),
    ],
    ids=[*VARIANTS, "push", "pull"],
)
def test_bound_and_seed_with_surrogates_of_their_own(make_set, attack, settings):
    image_set = make_set(20)
    first, again, other = (craft(attack, image_set, settings, seed=seed) for seed in (0, 0, 1))
    bound = 2 if isinstance(attack, SepPoison) else 8
    assert np.abs(first.astype(int) - image_set.images).max() == bound
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_part_of_a_set_is_moved_towards_the_means_of_the_whole(greys):
    """What is poisoned may be a few pictures of one class; the classes lie where the whole set says."""
    dark = greys.subset(np.flatnonzero(greys.labels == 0))
    settings = SepSettings(variant="fa", epsilon="80/255", step_size="1/255", steps=40, precision="fp32")
    given = Resources(clean_set=greys, surrogates=[nearest_grey()], device="cpu")
    stored = SepPoison().craft(dark, settings, generator=generator(0, "test"), resources=given).images
    assert np.abs(colour(stored) - 110).max() < 4
    logits = compute_logits(nearest_grey(), stored)
    assert (logits.argmax(dim=1) == 1).all()


def test_errors_name_what_is_wrong(greys, make_set):
    alone = make_set(4, classes=1)
    for attack, settings in [(SepPoison(), SepSettings()), (EntfPoison(), EntfSettings(aim="pull"))]:
        with pytest.raises(SettingsError, match="at least two classes"):
            craft(attack, alone, settings)
        with pytest.raises(SettingsError, match="without a label"):
            craft(attack, ArrayImageSet(greys.images, np.full(30, -1), class_names=["a", "b"]), settings)
    with pytest.raises(SettingsError, match="several surrogates"):
        craft(EntfPoison(), greys, EntfSettings(), [nearest_grey(), nearest_grey()])
    with pytest.raises(SettingsError, match="15 checkpoints of 10 epochs"):
        craft(SepPoison(), greys, SepSettings(epochs=10))

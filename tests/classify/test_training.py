"""Training learns, repeats itself bit for bit, and refuses what it cannot train on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.classify.classifier import compute_logits, predict
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.scoring.accuracy import score

from .toy import toy_set

# Long and slow enough for every seed and either precision; half of that leaves a third of the seeds at chance.
LEARNS = TrainSettings(epochs=8, batch_size=16, learning_rate=0.02, width=8, test_every=3)
SMALL = TrainSettings(epochs=2, batch_size=32, width=4, test_every=1)


def weights_of(trained) -> bytes:
    return b"".join(value.numpy().tobytes() for value in trained.net.state_dict().values())


def test_learns_a_toy_problem():
    trained = train(toy_set(240), test_set=toy_set(90, seed=1), settings=LEARNS, device="cpu")
    assert [epoch.epoch for epoch in trained.history] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [epoch.epoch for epoch in trained.history if epoch.test_accuracy is not None] == [3, 6, 8]
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert trained.history[-1].test_accuracy > 0.95
    assert trained.history[-1].test_accuracy == np.mean(trained.predictions == toy_set(90, seed=1).labels)
    assert not trained.net.training


def test_classes_of_the_test_set_are_matched_by_name():
    """In another order, and with one that the test set lacks."""
    test_set = toy_set(30, seed=1).subset([row for row in range(30) if row % 3 != 1])
    names = ("blue", "red")
    labels = [names.index(test_set.class_names[label]) for label in test_set.labels]
    turned = ArrayImageSet(test_set.array(), labels, class_names=names)
    one, two = (train(toy_set(60), test_set=tested, settings=SMALL, device="cpu") for tested in (test_set, turned))
    assert one.history == two.history
    assert score(one, test_set) == score(two, turned)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_same_bytes(precision):
    settings = SMALL.model_copy(update={"precision": precision, "grayscale_probability": 0.4, "noise_sigma": 0.05})
    before = torch.get_rng_state()
    first, second, other = (
        train(toy_set(90), test_set=toy_set(30, seed=1), settings=settings, seed=seed, device="cpu")
        for seed in (0, 0, 1)
    )
    assert weights_of(first) == weights_of(second)
    assert weights_of(first) != weights_of(other)
    assert first.history == second.history
    assert torch.equal(torch.get_rng_state(), before)


def test_compensation_changes_the_training():
    plain, compensated = (
        train(toy_set(60), test_set=toy_set(30), settings=settings, device="cpu")
        for settings in (SMALL, SMALL.model_copy(update={"noise_sigma": 0.05}))
    )
    assert weights_of(plain) != weights_of(compensated)


def test_input_is_kept_and_steps_are_told():
    train_set, told = toy_set(65), []
    before = train_set.images.copy()
    trained = train(train_set, test_set=toy_set(30), settings=SMALL, device="cpu", on_step=told.append)
    assert np.array_equal(train_set.images, before)
    # 65 images are two batches of 32; the one left over cannot be normalised alone.
    assert [(info.step, info.total, info.values["epoch"]) for info in told] == [
        (1, 4, 1),
        (2, 4, 1),
        (3, 4, 2),
        (4, 4, 2),
    ]
    losses = [info.values["loss"] for info in told]
    assert trained.history[1].train_loss == pytest.approx(np.mean(losses[2:]))


def test_divergence_is_told():
    wild = SMALL.model_copy(update={"learning_rate": 1e30, "precision": "fp32"})
    with pytest.raises(RunError, match=r"diverged in epoch 1; lower learning_rate=1e\+30"):
        train(toy_set(90), test_set=toy_set(30), settings=wild, device="cpu")


@pytest.mark.gpu
def test_learns_on_a_gpu():
    trained = train(toy_set(240), test_set=toy_set(90, seed=1), settings=LEARNS, device="cuda")
    assert trained.history[-1].test_accuracy > 0.95


def test_normalisation_is_the_sets_own():
    train_set = toy_set(60)
    values = train_set.images.astype(np.float64) / 255
    net = train(train_set, test_set=toy_set(30), settings=SMALL, device="cpu").net
    assert net.mean.flatten().tolist() == pytest.approx(values.mean(axis=(0, 1, 2)))
    assert net.std.flatten().tolist() == pytest.approx(values.std(axis=(0, 1, 2)))
    plain = SMALL.model_copy(update={"normalise": False})
    net = train(train_set, test_set=toy_set(30), settings=plain, device="cpu").net
    assert net.mean.flatten().tolist() == [0, 0, 0]
    assert net.std.flatten().tolist() == [1, 1, 1]


def test_predictions_do_not_depend_on_the_batch_and_keep_the_mode():
    trained = train(toy_set(60), test_set=toy_set(30), settings=SMALL, device="cpu")
    net = trained.net.train()
    images = toy_set(30).array()
    logits = compute_logits(net, images)
    assert logits.shape == (30, 3)
    assert torch.allclose(logits, compute_logits(net, images, batch_size=7), atol=1e-5)
    assert np.array_equal(predict(net, images), trained.predictions)
    assert net.training


def relabelled(labels, names=("red", "green", "blue"), side=8) -> ArrayImageSet:
    images = np.zeros((len(labels), side, side, 3), np.uint8)
    return ArrayImageSet(images, labels, class_names=names, name="other")


class _Mixed(ArrayImageSet):
    def array(self):
        return super(ArrayImageSet, self).array()


def mixed_sizes() -> ArrayImageSet:
    image_set = _Mixed(toy_set(6).images, toy_set(6).labels, class_names=toy_set(6).class_names, name="mixed")
    image_set.sizes = image_set.sizes.copy()
    image_set.sizes[3] = (20, 20)
    return image_set


@pytest.mark.parametrize(
    ("train_set", "test_set", "message"),
    [
        (relabelled([0, 1, 2, -1]), toy_set(3), "1 pictures of other have no label"),
        (toy_set(6), relabelled([0, -1]), "1 pictures of other have no label"),
        (relabelled([0, 1, 0, 1]), toy_set(3), "no picture of blue"),
        (
            relabelled([0, 1], names=("a", "b")),
            toy_set(3),
            "toy has pictures of red, green, blue, but",
        ),
        (toy_set(6), relabelled([0, 1, 2], side=20), "pictures of different sizes"),
        (relabelled([]), toy_set(3), "other holds no pictures"),
        (relabelled([0], names=("a",)), relabelled([0], names=("a",)), "needs at least two"),
        (mixed_sizes(), toy_set(3), "mixed holds pictures of several sizes"),
    ],
)
def test_refusals_are_one_line(train_set, test_set, message):
    with pytest.raises(SettingsError, match=message) as caught:
        train(train_set, test_set=test_set, settings=SMALL, device="cpu")
    assert "\n" not in str(caught.value)

"""A new head on a trained body: what learns, what stays, and how the rate falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.classify.classifier import features, head, predict
from unpoison.classify.optimisers import rate_factor
from unpoison.classify.saving import load_classifier, save_classifier
from unpoison.classify.settings import TrainSettings, TransferSettings, transfer_settings
from unpoison.classify.training import train
from unpoison.classify.transfer import transfer, with_new_head
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.pixels import to_float

from .toy import toy_set

# The benchmark's rate. At 0.1 SGD on a head is at the edge: with momentum 0.9 it is stable while the rate is below
# 3.8 / L, and L is a quarter of the largest eigenvalue of the features' second moments, here 16 or more.
QUICK = TransferSettings(epochs=6, batch_size=16, learning_rate=0.01, decay_epochs=(4,), crop_padding=0, flip=False)
FINE = QUICK.model_copy(update={"optimiser": "adam", "learning_rate": 1e-3})


@pytest.fixture(scope="module")
def body():
    # No black frames: crops with half a picture of black are what the frozen statistics of the norms would stand for,
    # and pictures without would come out of them many times too large.
    settings = TrainSettings(epochs=6, batch_size=16, learning_rate=0.05, width=8, test_every=6, crop_padding=0)
    trained = train(toy_set(150), test_set=toy_set(30, seed=1), settings=settings, device="cpu")
    assert trained.history[-1].test_accuracy > 0.8
    return trained.net


def two_classes(count: int, *, seed: int = 0) -> ArrayImageSet:
    """Red against the rest: classes that the body was not trained for."""
    source = toy_set(count, seed=seed)
    return ArrayImageSet(source.images, (source.labels == 0).astype(int), class_names=["other", "red"], name="two")


def body_of(net) -> dict[str, torch.Tensor]:
    return {name: value for name, value in net.state_dict().items() if "linear" not in name}


@pytest.mark.parametrize("augmented", [False, True])
def test_linear_learns_a_head_on_a_body_that_stays(body, augmented):
    settings = QUICK.model_copy(update={"crop_padding": 1, "flip": True} if augmented else {})
    before = {name: value.clone() for name, value in body.state_dict().items()}
    trained = transfer(body, two_classes(60, seed=2), test_set=two_classes(60, seed=3), settings=settings, device="cpu")
    assert trained.net.class_names == ("other", "red")
    assert trained.history[-1].test_accuracy > 0.95
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert np.array_equal(predict(trained.net, two_classes(60, seed=3).array()), trained.predictions)
    assert all(torch.equal(value, before[name]) for name, value in body_of(trained.net).items())
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fine_tuning_moves_the_body_but_not_its_normalisation(body, precision):
    settings = FINE.model_copy(update={"precision": precision})
    trained = transfer(
        body, two_classes(60), test_set=two_classes(30), mode="fine-tune", settings=settings, device="cpu"
    )
    after, norms = body_of(trained.net), ("bn", "shortcut.1")
    for name, value in body_of(body).items():
        if name in ("mean", "std") or any(norm in name for norm in norms):
            assert torch.equal(after[name], value), name
        else:
            assert not torch.equal(after[name], value), name
    assert trained.history[-1].test_accuracy > 0.95


def test_a_frozen_body_can_be_fine_tuned(body):
    frozen = with_new_head(body, ("a", "b"), seed=0).requires_grad_(False)
    trained = transfer(frozen, two_classes(30), test_set=two_classes(30), mode="fine-tune", settings=FINE, device="cpu")
    assert not torch.equal(trained.net.net.conv1.weight, frozen.net.conv1.weight)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_one_linear_step_by_hand(body):
    train_set = two_classes(20)
    changes = {"epochs": 1, "batch_size": 20, "momentum": 0.0, "weight_decay": 0.0, "precision": "fp32"}
    settings = QUICK.model_copy(update=changes)
    trained = transfer(body, train_set, test_set=train_set, settings=settings, seed=4, device="cpu")
    fresh = with_new_head(body, train_set.class_names, seed=4)
    with torch.no_grad():
        seen = features(fresh, to_float(train_set.array()))
        surplus = head(fresh)(seen).softmax(dim=1) - torch.eye(2)[torch.from_numpy(train_set.labels)]
    expected = head(fresh).weight - settings.learning_rate * surplus.T @ seen / 20
    torch.testing.assert_close(head(trained.net).weight, expected)


@pytest.mark.parametrize("mode", ["linear", "fine-tune"])
@pytest.mark.parametrize(
    "changes",
    [{"cutout": 3}, {"alternating_flip": True}, {"lookahead": 2}, {"schedule": "cosine"}, {"crop_padding": 2}],
)
def test_what_the_loop_can_do_a_transfer_can(body, mode, changes):
    quick = QUICK.model_copy(update={"epochs": 2})
    plain, changed = (
        transfer(body, two_classes(30), test_set=two_classes(30), mode=mode, settings=settings, device="cpu")
        for settings in (quick, quick.model_copy(update=changes))
    )
    assert not torch.equal(head(plain.net).weight, head(changed.net).weight)


def test_same_seed_same_head(body):
    first, second, other = (with_new_head(body, ("a", "b", "c", "d"), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(head(first).weight, head(second).weight)
    assert not torch.equal(head(first).weight, head(other).weight)
    assert head(first).weight.shape == (4, head(body).in_features)
    assert head(first).weight.abs().max() <= head(body).in_features ** -0.5


def test_the_rate_falls_after_the_epochs_of_the_recipe():
    settings = transfer_settings("linear", profiles=["puregen-linear"])
    factors = [rate_factor(settings, step, 400) for step in range(400)]
    assert [factors[step] for step in (0, 149, 150, 249, 250, 349, 350)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3]
    )
    benchmark = TransferSettings()
    assert (benchmark.epochs, benchmark.learning_rate, benchmark.decay_epochs) == (40, 0.01, (30,))


def test_a_transferred_classifier_is_saved_like_any_other(body, tmp_path):
    trained = transfer(body, two_classes(30), test_set=two_classes(30), settings=QUICK, device="cpu")
    save_classifier(tmp_path, trained)
    loaded = load_classifier(tmp_path)
    assert loaded.class_names == ("other", "red")
    assert np.array_equal(predict(loaded, two_classes(30).array()), trained.predictions)


def test_an_unknown_mode_is_refused(body):
    with pytest.raises(SettingsError, match="choose linear or fine-tune"):
        transfer(body, two_classes(30), test_set=two_classes(30), mode="full", settings=QUICK, device="cpu")

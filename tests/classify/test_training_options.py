"""Trainings from scratch beyond the plain one: each part does what its paper says, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.classify.architectures.whitening import whitening_filters
from unpoison.classify.settings import TrainSettings, scratch_settings
from unpoison.classify.training import train
from unpoison.core.errors import SettingsError
from unpoison.core.pixels import to_float

from .toy import toy_set

SMALL = {"epochs": 2, "batch_size": 32, "width": 4, "test_every": 2, "precision": "fp32"}
AIRBENCH = scratch_settings(profiles=["airbench"], overrides={**SMALL, "epochs": 4, "learning_rate": 0.1})


def run(settings: TrainSettings, model: str = "resnet18", *, side: int = 12, **options):
    return train(
        toy_set(96, side=side), test_set=toy_set(30, side=side, seed=1), model=model, settings=settings, **options
    )


def weights_of(trained) -> bytes:
    return b"".join(value.numpy().tobytes() for value in trained.net.state_dict().values())


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adam", "learning_rate": 1e-3},
        {"schedule": "cosine"},
        {"schedule": "triangle"},
        {"decay_epochs": (1,)},
        {"reflect": True},
        {"cutout": 3},
        {"alternating_flip": True},
        {"lookahead": 1},
        {"noise_sigma": 0.05},
    ],
)
def test_every_setting_has_an_effect(changes):
    assert weights_of(run(TrainSettings(**SMALL, **changes))) != weights_of(run(TrainSettings(**SMALL)))


def test_airbench_learns_and_repeats_itself():
    settings = AIRBENCH.model_copy(update={"epochs": 10, "batch_size": 16, "width": 8})
    first, second = (run(settings, "airbench94", side=16) for _ in range(2))
    assert weights_of(first) == weights_of(second)
    assert first.history[-1].train_loss < first.history[0].train_loss
    assert first.history[-1].test_accuracy > 0.9
    assert (first.net.architecture, first.settings) == ("airbench94", settings)


def test_the_first_layer_is_whitened_and_its_bias_learns_for_some_epochs_only():
    biases = []
    settings = AIRBENCH.model_copy(update={"whitening_epochs": 2, "lookahead": 0})
    trained = run(
        settings, "airbench94", side=16, on_epoch=lambda _, net: biases.append(net.net.stem.bias.detach().clone())
    )
    pictures = (to_float(toy_set(96, side=16).images) - trained.net.mean) / trained.net.std
    filters = whitening_filters(pictures, side=2)
    torch.testing.assert_close(trained.net.net.stem.weight, torch.cat([filters, -filters]))
    assert not torch.equal(biases[0], biases[1])
    assert torch.equal(biases[1], biases[2])
    assert torch.equal(biases[2], biases[3])


def test_each_image_is_mirrored_in_every_second_epoch():
    settings = TrainSettings(**{**SMALL, "epochs": 4}, alternating_flip=True, crop_padding=0)
    seen: list[torch.Tensor] = []

    def watch(_, batch, __):
        seen.append((batch * 255).round().to(torch.uint8))
        return batch

    run(settings, perturb=watch)
    epochs = [torch.cat(seen[first : first + 3]) for first in range(0, 12, 3)]
    originals = torch.from_numpy(toy_set(96, side=12).images.transpose(0, 3, 1, 2).copy())
    mirrored = []
    for batch in epochs:
        shown = {image.numpy().tobytes() for image in batch}
        mirrored.append([image.flip(2).contiguous().numpy().tobytes() in shown for image in originals])
        kept = [image.numpy().tobytes() in shown for image in originals]
        assert [not flag for flag in kept] == mirrored[-1]
    assert 0.3 < np.mean(mirrored[0]) < 0.7
    assert mirrored[1] == mirrored[3] == [not flag for flag in mirrored[0]]
    assert mirrored[2] == mirrored[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutout": 13}, "cutout=13 is larger than the pictures, whose shorter side is 12 pixels"),
        ({"reflect": True, "crop_padding": 12}, "crop_padding=12 cannot mirror pictures of 12 pixels"),
    ],
)
def test_what_does_not_fit_the_pictures_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        run(TrainSettings(**SMALL, **changes))


@pytest.mark.parametrize("model", ["hlb-s", "airbench94"])
def test_a_trained_net_can_be_transferred_and_comes_back_from_disk(model, tmp_path):
    from unpoison.classify.classifier import predict
    from unpoison.classify.saving import load_classifier, save_classifier
    from unpoison.classify.settings import TransferSettings
    from unpoison.classify.transfer import transfer

    body = run(AIRBENCH.model_copy(update={"epochs": 1}), model, side=16).net
    moved = transfer(
        body,
        toy_set(60, side=16),
        test_set=toy_set(30, side=16),
        mode="fine-tune",
        settings=TransferSettings(epochs=1, batch_size=16),
    )
    save_classifier(tmp_path, moved)
    assert np.array_equal(predict(load_classifier(tmp_path), toy_set(30, side=16).array()), moved.predictions)

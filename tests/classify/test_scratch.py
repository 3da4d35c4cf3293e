"""Trainings from scratch beyond the plain one: each part does what its paper says, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.classify.architectures.whitening import whitening_filters
from unpoison.classify.augment import crop_and_flip, cut_out
from unpoison.classify.classifier import build_net
from unpoison.classify.optimisers import Lookahead, build_optimiser, rate_factor
from unpoison.classify.settings import TrainSettings, scratch_settings
from unpoison.classify.training import learning_parameters, train
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


def test_the_last_step_ends_on_the_slow_weights(monkeypatch):
    kept = []
    update = Lookahead.update

    def watched(self, *, keep):
        kept.append(keep)
        update(self, keep=keep)

    monkeypatch.setattr(Lookahead, "update", watched)
    run(TrainSettings(**SMALL, lookahead=2))  # six steps
    assert kept == pytest.approx([0.95**2 * (2 / 6) ** 3, 0.95**2 * (4 / 6) ** 3, 1.0])


def test_biases_of_normalisation_learn_faster_and_decay_as_the_others():
    """One step of SGD from known gradients: the rate is scaled, rate times decay is not."""
    net = build_net("airbench94", classes=3, width=4, seed=0)
    settings = TrainSettings(learning_rate=0.1, momentum=0.0, nesterov=False, weight_decay=0.5, bias_scaler=10)
    with torch.no_grad():
        net.group1.norm1.bias.fill_(1.0)
        net.linear.weight.fill_(1.0)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    build_optimiser(learning_parameters(net, settings), settings).step()
    assert net.group1.norm1.bias[0].item() == pytest.approx(1 - 0.1 * 10 - 0.1 * 0.5)
    assert net.linear.weight[0, 0].item() == pytest.approx(1 - 0.1 - 0.1 * 0.5)


def test_rates_move_as_published():
    triangle = [rate_factor(TrainSettings(schedule="triangle"), step, 100) for step in range(101)]
    assert [triangle[step] for step in (0, 23, 100)] == pytest.approx([0.2, 1, 0.07])
    assert max(triangle) == triangle[23]
    assert triangle[50] - triangle[51] == pytest.approx(0.93 / 77)
    cosine = [rate_factor(TrainSettings(schedule="cosine"), step, 100) for step in (0, 25, 50, 100)]
    assert cosine == pytest.approx([1, 0.5 + 0.125**0.5, 0.5, 0], abs=1e-9)
    eighty = scratch_settings(profiles=["puregen", "puregen-80-epoch"])
    factors = [rate_factor(eighty, step, 800) for step in (0, 299, 300, 499, 500, 699, 700)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3])
    assert rate_factor(TrainSettings(schedule="one-cycle"), 60, 100) == pytest.approx(0.5)


def test_the_reflected_frame_is_numpys():
    images = torch.randint(256, (300, 3, 6, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    cropped = crop_and_flip(
        images, padding=3, flip=False, generator=torch.Generator().manual_seed(1), reflect=True
    ).numpy()
    places = set()
    for image, crop in zip(images.numpy(), cropped, strict=True):
        framed = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode="reflect")
        found = [
            (top, left)
            for top in range(7)
            for left in range(7)
            if np.array_equal(framed[:, top : top + 6, left : left + 5], crop)
        ]
        assert found
        places.add(found[0])
    assert len(places) == 49


def test_cutout_covers_one_square_of_the_mean_colour():
    images = torch.rand(200, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    fill = torch.tensor([2.0, 3.0, 4.0]).reshape(1, 3, 1, 1)
    cut = cut_out(images, side=3, fill=fill, generator=torch.Generator().manual_seed(1))
    covered = cut[:, 0] == 2
    assert torch.equal(covered.sum(dim=(1, 2)), torch.full((200,), 9))
    assert torch.equal(cut, torch.where(covered[:, None], fill, images))
    corners = {tuple(mask.nonzero()[0].tolist()) for mask in covered}
    assert {top for top, _ in corners} == set(range(6))
    assert {left for _, left in corners} == set(range(8))
    assert all(mask.nonzero()[8].sub(mask.nonzero()[0]).tolist() == [2, 2] for mask in covered)


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

"""Classifiers survive the disk; published weights are read and strangers' files refused."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from unpoison.classify.classifier import build_net, predict
from unpoison.classify.saving import import_classifier, load_classifier, save_classifier
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.errors import DataError, ModelError

from .toy import toy_set


def test_round_trip(tmp_path):
    settings = TrainSettings(epochs=2, batch_size=32, width=8, test_every=2)
    trained = train(toy_set(60), test_set=toy_set(30), settings=settings, device="cpu")
    save_classifier(tmp_path / "out", trained)
    before = torch.get_rng_state()
    net = load_classifier(tmp_path / "out")
    assert torch.equal(torch.get_rng_state(), before)
    assert (net.architecture, net.width, net.class_names) == ("resnet18", 8, ("red", "green", "blue"))
    assert not net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    state = trained.net.state_dict()
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert (predict(net, toy_set(30).array()) == trained.predictions).all()
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [epoch["test_accuracy"] for epoch in history] == [None, trained.history[1].test_accuracy]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "mobilenetv2", "vgg16", "densenet121", "vit", "hlb-s"])
def test_published_form_is_read(name, tmp_path):
    net = build_net(name, classes=7, width=8, seed=0)
    path = tmp_path / "ckpt.pth"
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({"net": state, "acc": 95.1, "epoch": 199}, path)
    loaded = import_classifier(path, model=name, mean=(0.49, 0.48, 0.45), std=(0.2, 0.2, 0.2))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.2, 0.2, 0.2])
    expected = net.eval()((images - mean[:, None, None]) / std[:, None, None])
    assert torch.allclose(loaded(images), expected, atol=1e-5)
    assert (loaded.width, len(loaded.class_names)) == (8, 7)


def test_plain_and_half_safetensors_are_read(tmp_path):
    net = build_net("resnet18", classes=3, width=8, seed=0).half()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    loaded = import_classifier(tmp_path / "net.safetensors")
    assert loaded.width == 8
    assert loaded(torch.zeros(1, 3, 16, 16)).dtype == torch.float32


def test_bodies_of_the_transfer_split_are_read(tmp_path):
    """As PureGen's `ckpt-*-4800.t7`: written long ago, statistics kept as parameters, older ones without a counter."""
    net = build_net("resnet18", classes=10, width=8, seed=0)
    for value in (net.bn1.running_mean, net.layer3[0].bn1.running_var):
        value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(0)))
    state = {
        f"module.{name}": torch.nn.Parameter(value, requires_grad=False)
        for name, value in net.state_dict().items()
        if "num_batches" not in name
    }
    path = tmp_path / "ckpt-ResNet18-4800.t7"
    torch.save({"net": state, "acc": 94.2, "epoch": 199}, path, _use_new_zipfile_serialization=False)
    body = import_classifier(path)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(body(images), net.eval()(images))
    assert {name for name, _ in body.net.named_parameters()} == {name for name, _ in net.named_parameters()}
    assert all(parameter.requires_grad for parameter in body.parameters())


def test_settings_of_every_kind_are_written_in_full(tmp_path):
    fields = {"schedule": "cosine", "cutout": 3, "decay_epochs": (1,), "precision": "fp32"}
    settings = TrainSettings(epochs=1, batch_size=32, width=8, **fields)
    trained = train(toy_set(60), test_set=toy_set(30), settings=settings, device="cpu")
    save_classifier(tmp_path, trained)
    assert (predict(load_classifier(tmp_path), toy_set(30).array()) == trained.predictions).all()
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        described = json.loads(file.metadata()["unpoison.classifier"])
    assert described["settings"] == settings.model_dump(mode="json")


class _Evil:
    def __reduce__(self):
        return print, ("code was run",)


def test_bad_files_are_refused(tmp_path, capsys):
    evil = tmp_path / "evil.pth"
    torch.save({"net": _Evil()}, evil)
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Evil(), protocol=2))
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbers.pth")
    for name in ("evil.pth", "old.pth", "text.pth", "text.safetensors", "list.pth", "numbers.pth", "absent.pth"):
        with pytest.raises(DataError, match=name) as caught:
            import_classifier(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kept", [0, 3000])
def test_files_that_were_not_fetched_whole(tmp_path, kept):
    torch.save(build_net("resnet18", classes=3, width=4, seed=0).state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:kept])
    with pytest.raises(DataError, match=r"the file is (empty|cut short)\. Fetch it again"):
        import_classifier(tmp_path / "net.pth")


def test_another_architecture_is_told_in_a_short_line(tmp_path):
    torch.save(build_net("resnet18", classes=3, width=8, seed=0).state_dict(), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r'Missing key.*"[^"]*" and [0-9]+ more') as caught:
        import_classifier(tmp_path / "net.pth", model="densenet121")
    assert len(str(caught.value)) < 300


def test_wrong_architecture_is_named(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(build_net("resnet18", classes=3, width=8, seed=0).state_dict(), path)
    with pytest.raises(ModelError, match=r"has no tensor 'features.0.weight', so it is no vgg16"):
        import_classifier(path, model="vgg16")
    with pytest.raises(ModelError, match="does not fit resnet50 of width 2: Missing key"):
        import_classifier(path, model="resnet50")


def test_a_folder_without_classifier_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        load_classifier(tmp_path)
    for metadata in (None, {"unpoison.classifier": "{"}, {"unpoison.classifier": '{"width": 8}'}):
        save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata=metadata)
        with pytest.raises(DataError, match="not a classifier of unpoison"):
            load_classifier(tmp_path)

"""`train` from a published file of weights, and by the profiles of other papers."""

from __future__ import annotations

import json

import pytest
import torch

from unpoison.classify.classifier import build_net
from unpoison.classify.saving import load_classifier
from unpoison.data import write


@pytest.fixture
def sets(make_set, tmp_path):
    write(make_set(24), tmp_path / "clean.npz")
    write(make_set(12, seed=1), tmp_path / "test.npz")
    return tmp_path / "clean.npz", "--test", tmp_path / "test.npz", "--out", tmp_path / "net", "--json"


def save_body(path, *, classes: int = 7):
    net = build_net("mobilenetv2", classes=classes, width=8, seed=0)
    torch.save({"net": {f"module.{name}": value for name, value in net.state_dict().items()}, "acc": 94.0}, path)
    return net


def test_a_head_is_trained_on_a_published_body(run, sets, tmp_path):
    net = save_body(tmp_path / "ckpt-MobileNetV2-4800.t7")
    code, out, err = run(
        *("train", *sets, "--init", tmp_path / "ckpt-MobileNetV2-4800.t7", "--model", "mobilenetv2"),
        *("--profile", "puregen-linear,puregen-lt-bench", "--set", "epochs=1"),
    )
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["n"] == 12
    trained = load_classifier(tmp_path / "net")
    assert trained.class_names == ("c0", "c1", "c2")
    assert torch.equal(trained.net.conv1.weight, net.conv1.weight)
    assert trained.mean.flatten().tolist() == pytest.approx([0.4914, 0.4822, 0.4465])
    assert trained.std.flatten().tolist() == pytest.approx([0.2471, 0.2435, 0.2616])


def test_what_is_no_body_is_one_line(run, sets, tmp_path):
    save_body(tmp_path / "body.t7")
    code, _, err = run("train", *sets, "--init", tmp_path / "body.t7", "--model", "vgg16")
    assert (code, "no vgg16" in err, err.count("\n")) == (2, True, 1)
    code, _, err = run("train", *sets, "--init", tmp_path / "absent.t7")
    assert (code, "there is no such file" in err) == (2, True)
    whole = (tmp_path / "body.t7").read_bytes()
    for broken in (whole[:-40], whole[:100], b"weights", b"", whole.replace(b"Float", b"Flaot")):
        (tmp_path / "broken.pth").write_bytes(broken)
        code, _, err = run("train", *sets, "--init", tmp_path / "broken.pth", "--model", "mobilenetv2")
        assert (code, "broken.pth" in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "net").exists()


def test_airbench_from_scratch(run, sets, tmp_path):
    code, _, err = run(
        *("train", *sets, "--model", "airbench94", "--profile", "airbench,compensation"),
        *("--set", "epochs=1", "--set", "width=4", "--set", "batch_size=8"),
    )
    assert code == 0, err
    assert load_classifier(tmp_path / "net").architecture == "airbench94"


def test_airbench_has_its_own_default(run, sets):
    code, out, _ = run("train", *sets, "--model", "airbench94", "--dry-run")
    settings = json.loads(out)["settings"]
    assert (code, settings["lookahead"], settings["alternating_flip"], settings["epochs"]) == (0, 5, True, 10)


def test_a_body_of_ours_is_of_the_architecture_that_is_named(run, sets, tmp_path):
    short = ("--set", "epochs=1", "--set", "batch_size=8")
    train = ("train", *sets[:4], tmp_path / "body", "--model", "mobilenetv2", "--set", "width=8", *short)
    assert run(*train)[0] == 0
    transfer = ("train", *sets, "--init", tmp_path / "body", *short)
    code, _, err = run(*transfer, "--model", "resnet18")
    assert (code, "is a mobilenetv2, not a resnet18" in err) == (2, True)
    code, _, err = run(*transfer)
    assert code == 0, err
    assert load_classifier(tmp_path / "net").architecture == "mobilenetv2"


def test_a_dry_run_shows_what_results(run, sets):
    code, out, _ = run("train", *sets, "--profile", "puregen,puregen-80-epoch", "--dry-run")
    assert code == 0
    settings = json.loads(out)["settings"]
    assert (settings["epochs"], settings["decay_epochs"], settings["optimiser"]) == (80, [30, 50, 70], "sgd")
    code, out, _ = run("train", *sets, "--dry-run")
    assert "optimiser" not in json.loads(out)["settings"]

"""Contracts over every architecture, and the published parameter counts and names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from classify.toy import toy_set
from unpoison.classify.classifier import Classifier, build_net, features, head
from unpoison.classify.methods import METHODS
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.errors import SettingsError
from unpoison.core.methods import load_method


def on_meta(name: str, classes: int = 10, width: int = 64) -> nn.Module:
    with torch.device("meta"):
        return load_method(METHODS, name, kind="classifier")(classes, width)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("resnet50", 23_520_842),
        ("vgg11", 9_231_114),
        ("vgg16", 14_728_266),
        ("vgg19", 20_040_522),
        ("densenet121", 6_956_298),
        ("densenet121-eclipse", 6_956_426),
        ("mobilenetv2", 2_296_922),
        ("hlb-s", 1_972_816),
        ("hlb-m", 4_606_544),
        ("hlb-l", 12_721_232),
        ("airbench94", 1_972_792),
        ("vit", 9_523_722),
    ],
)
def test_parameter_counts(name, parameters):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "resnet18",
            {
                "conv1.weight": (64, 3, 3, 3),
                "bn1.running_mean": (64,),
                "layer1.0.conv1.weight": (64, 64, 3, 3),
                "layer2.0.shortcut.0.weight": (128, 64, 1, 1),
                "layer2.0.shortcut.1.bias": (128,),
                "layer4.1.bn2.weight": (512,),
                "linear.weight": (10, 512),
            },
        ),
        (
            "resnet34",
            {"layer1.2.conv2.weight": (64, 64, 3, 3), "layer3.5.bn2.bias": (256,), "linear.weight": (10, 512)},
        ),
        (
            "resnet50",
            {
                "layer1.0.conv3.weight": (256, 64, 1, 1),
                "layer1.0.shortcut.0.weight": (256, 64, 1, 1),
                "layer3.5.bn3.weight": (1024,),
                "linear.weight": (10, 2048),
            },
        ),
        (
            "vgg16",
            {
                "features.0.weight": (64, 3, 3, 3),
                "features.7.weight": (128, 64, 3, 3),
                "features.40.bias": (512,),
                "features.41.weight": (512,),
                "classifier.weight": (10, 512),
            },
        ),
        (
            "vgg11",
            {"features.8.weight": (256, 128, 3, 3), "features.26.bias": (512,), "classifier.weight": (10, 512)},
        ),
        (
            "mobilenetv2",
            {
                "conv1.weight": (32, 3, 3, 3),
                "layers.0.conv2.weight": (32, 1, 3, 3),
                "layers.0.shortcut.0.weight": (16, 32, 1, 1),
                "layers.1.conv1.weight": (96, 16, 1, 1),
                "layers.3.conv2.weight": (144, 1, 3, 3),
                "layers.16.bn3.weight": (320,),
                "conv2.weight": (1280, 320, 1, 1),
                "linear.weight": (10, 1280),
            },
        ),
        (
            "vit",
            {
                "pos_embedding": (1, 65, 512),
                "cls_token": (1, 1, 512),
                "to_patch_embedding.1.weight": (512, 48),
                "transformer.layers.0.0.norm.weight": (512,),
                "transformer.layers.0.0.fn.to_qkv.weight": (1536, 512),
                "transformer.layers.5.0.fn.to_out.0.bias": (512,),
                "transformer.layers.5.1.fn.net.0.weight": (512, 512),
                "transformer.layers.5.1.fn.net.3.bias": (512,),
                "mlp_head.0.weight": (512,),
                "mlp_head.1.weight": (10, 512),
            },
        ),
        ("vgg19", {"features.49.weight": (512, 512, 3, 3), "classifier.bias": (10,)}),
        (
            "densenet121",
            {
                "conv1.weight": (64, 3, 3, 3),
                "dense1.0.bn1.weight": (64,),
                "dense1.0.conv1.weight": (128, 64, 1, 1),
                "dense1.0.conv2.weight": (32, 128, 3, 3),
                "trans1.bn.weight": (256,),
                "trans1.conv.weight": (128, 256, 1, 1),
                "dense4.15.conv2.weight": (32, 128, 3, 3),
                "bn.weight": (1024,),
                "linear.weight": (10, 1024),
            },
        ),
    ],
)
def test_names_and_shapes_are_those_of_pytorch_cifar(name, shapes):
    state = on_meta(name).state_dict()
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_state_dicts_have_as_many_entries_as_published():
    assert {
        name: len(on_meta(name).state_dict())
        for name in METHODS
        if name not in ("densenet121-eclipse", "unet", "airbench94") and not name.startswith("hlb")
    } == {
        "resnet18": 122,
        "resnet34": 218,
        "resnet50": 320,
        "mobilenetv2": 344,
        "vgg11": 58,
        "vgg16": 93,
        "vgg19": 114,
        "densenet121": 722,
        "vit": 74,
    }


@pytest.mark.parametrize("name", METHODS)
def test_logits_and_gradients(name):
    net = build_net(name, classes=7, width=8, seed=0)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    logits = net(images)
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in net.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", METHODS)
def test_smallest_settings_train(name):
    settings = TrainSettings(epochs=1, batch_size=2, width=4)
    trained = train(toy_set(3, side=32), test_set=toy_set(3, side=32), model=name, settings=settings, device="cpu")
    assert trained.predictions.shape == (3,)


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("vgg")])
def test_small_pictures(name):
    assert build_net(name, classes=3, width=8, seed=0)(torch.zeros(2, 3, 16, 16)).shape == (2, 3)


def test_vgg_refuses_small_pictures():
    with pytest.raises(SettingsError, match="at least 32x32 pixels, got 31x40"):
        build_net("vgg16", classes=3, width=8, seed=0)(torch.zeros(2, 3, 40, 31))


@pytest.mark.parametrize("name", METHODS)
def test_the_head_is_found(name):
    net = build_net(name, classes=7, width=8, seed=0).eval()
    classifier = Classifier(net, architecture=name, width=8, class_names="abcdefg", mean=[0] * 3, std=[1] * 3)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    scale = 1 / 9 if name.startswith(("hlb", "airbench")) else 1
    with torch.no_grad():
        torch.testing.assert_close(scale * head(classifier)(features(classifier, images)), classifier(images))


def test_eclipse_densenet_halves_the_picture_first():
    net = build_net("densenet121-eclipse", classes=3, width=8, seed=0)
    assert net.pooling(net.conv1(torch.zeros(1, 3, 32, 32))).shape == (1, 8, 16, 16)


def test_weights_follow_the_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, second, other = (build_net("resnet18", classes=3, width=8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_unknown_architecture():
    with pytest.raises(SettingsError, match="did you mean 'resnet18'"):
        build_net("resnet-18", classes=3, width=8, seed=0)


def test_mobilenet_halves_the_picture_three_times():
    net = build_net("mobilenetv2", classes=3, width=8, seed=0)
    shapes = []
    for block in net.layers:
        block.register_forward_hook(lambda _, __, output: shapes.append(output.shape[2]))
    net(torch.zeros(2, 3, 32, 32))
    assert shapes == [32] * 3 + [16] * 3 + [8] * 7 + [4] * 4

"""A lesson of small pictures, and defences in it."""

from __future__ import annotations

import pytest
import torch

from classify.toy import toy_set
from unpoison.classify.classifier import IDENTITY, Classifier, build_net
from unpoison.classify.defences.methods import load_defence
from unpoison.classify.lesson import Lesson
from unpoison.classify.loop import on_device
from unpoison.classify.settings import scratch_settings
from unpoison.core.noise import generator


@pytest.fixture
def lesson():
    mean, std = IDENTITY
    net = build_net("hlb-s", classes=3, width=4, seed=0)
    net = Classifier(net, architecture="hlb-s", width=4, class_names=["a", "b", "c"], mean=mean, std=std)
    pictures, labels = on_device(toy_set(48, side=16), torch.device("cpu"))
    return Lesson(net, net, list(net.parameters()), pictures, labels, lambda batch, labels, epoch: batch)


@pytest.fixture
def make(lesson):
    """Makes a defence from its name and settings."""

    def make(name: str, *, epochs: int = 10, seed: int = 0, **settings):
        training = scratch_settings(overrides={"epochs": epochs, "precision": "fp32", "label_smoothing": 0})
        defence = load_defence(name)
        draws = generator(seed, name)
        return defence(defence.Settings(**settings), lesson, training=training, draws=draws)

    return make


@pytest.fixture
def batch(lesson):
    """Pictures as floats, and their classes."""
    return lesson.inputs / 255, lesson.labels

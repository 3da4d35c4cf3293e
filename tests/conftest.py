"""Defaults of every test: one thread or OMP_NUM_THREADS, no network, and slow or GPU tests only on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from unpoison.core import precision
from unpoison.core.images import ArrayImageSet
from unpoison.nets.compact import CompactUNet
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.schedules import Schedule
from unpoison.nets.weights import save_model

# In the environment, so that commands too leave it at that and look at no load.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run tests that take more than 20 seconds")
    parser.addoption("--fuzz", type=int, default=0, metavar="N", help="read N mutated files")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes more than 20 seconds; run with --slow"))
        if item.get_closest_marker("fuzz") and not config.getoption("--fuzz"):
            item.add_marker(pytest.mark.skip(reason="reads thousands of mutated files; run with --fuzz 20000"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def processor(monkeypatch) -> Iterator[Callable[..., None]]:
    """Fakes what the processor says of itself, and how long a convolution in bf16 takes beside one in fp32."""

    def forget() -> None:
        precision._choose.cache_clear()
        precision._warn_of_emulation.cache_clear()

    def fake(capabilities: dict[str, bool], *, bf16_seconds: float = 0.5) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
        monkeypatch.setattr(precision, "_time_fp32", lambda: 1.0)
        monkeypatch.setattr(precision, "_time_bf16", lambda: bf16_seconds)
        forget()

    yield fake
    forget()


@pytest.fixture
def make_set() -> Callable[..., ArrayImageSet]:
    """Makes a labelled set of smooth random pictures."""

    def make(count: int = 20, *, side: int = 16, classes: int = 3, seed: int = 0) -> ArrayImageSet:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(40, 216, (count, 4, 4, 3), dtype=np.uint8)
        images = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
        return ArrayImageSet(images, np.arange(count) % classes, class_names=[f"c{k}" for k in range(classes)])

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A weight file of a tiny diffusion model whose network is random but not zero."""
    arguments = {"channels": 8, "blocks": [1, 1, 1]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = CompactUNet(**arguments)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    model = EpsilonModel(net, schedule=Schedule("cosine", 4000), time_scale=0.25)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(path, model, architecture="compact", arguments=arguments, kind="ema", settings={})
    return path


@pytest.fixture(scope="session")
def tiny_energy(tmp_path_factory) -> Path:
    """A weight file of a tiny energy model, random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PixelEnergy(SnganEnergy(width=8))
    path = tmp_path_factory.mktemp("models") / "tiny-energy.safetensors"
    save_model(path, model, architecture="sngan-energy", arguments={"width": 8}, kind="raw", settings={})
    return path


@pytest.fixture(scope="session")
def tiny_ddpm(tmp_path_factory) -> Path:
    """A weight file of a tiny DDPM[250]: linear schedule, no learned variance, random but not zero."""
    arguments = {"channels": 8, "blocks": [1, 1, 1], "learned_variance": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = CompactUNet(**arguments)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    model = EpsilonModel(net, schedule=Schedule("linear", 1000), max_index=249, learned_variance=False)
    path = tmp_path_factory.mktemp("models") / "tiny-ddpm.safetensors"
    save_model(path, model, architecture="compact", arguments=arguments, kind="raw", settings={})
    return path

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from tests.nets.test_pocket import make_denoiser, make_net
from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_uint8
from unpoison.dynamics.fields import ColouredNoise
from unpoison.nets.int8 import Int8Pocket, _ExactConv, _Int8Conv, _SiluTable
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.ranges import measure_ranges, quantise_denoiser, write_ranges
from unpoison.nets.shipped import weights_path
from unpoison.nets.weights import load_model
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings

SIGMA, FIELD = 25 / 255, 16 / 255


def smooth_pictures(count: int, side: int = 32) -> torch.Tensor:
    """Something like photographs."""
    nodes = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(nodes, (side, side), mode="bicubic").clamp(0, 1)


def noisy_pictures(count: int, side: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    clean = smooth_pictures(count, side)
    noise = ColouredNoise(Noise(0, "test", [str(row) for row in range(count)]), FIELD / SIGMA).normal(clean, "forward")
    return clean + SIGMA * noise, torch.full((count,), SIGMA), torch.full((count,), FIELD)


@pytest.fixture(scope="module")
def whole() -> PreconditionedDenoiser:
    return quantise_denoiser(load_model(weights_path("pocket")), weights_path("pocket"))


@pytest.mark.parametrize("name", ["pocket", "pocket-free"])
@pytest.mark.parametrize("sigma", [2 / 255, 12 / 255, 100 / 255])
def test_the_error_is_that_of_the_float_network(name, sigma):
    clean = smooth_pictures(16)
    noisy = clean + sigma * Noise(0, "test", [str(row) for row in range(16)]).normal(clean, "forward")
    levels = torch.full((16,), sigma)
    exact, whole = load_model(weights_path(name)), quantise_denoiser(load_model(weights_path(name)), weights_path(name))
    errors = [(model.denoise(noisy, levels) - clean).square().mean().sqrt() for model in (exact, whole)]
    assert errors[1] < 1.03 * errors[0]


def test_the_result_depends_on_neither_batch_nor_threads(whole):
    x, sigma, field = noisy_pictures(37)
    alone = torch.cat([whole.denoise(*(part[row : row + 1] for part in (x, sigma, field))) for row in range(37)])
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    together = whole.denoise(x, sigma, field)
    torch.set_num_threads(before)
    assert torch.equal(together, alone)


def test_images_of_one_batch_may_have_their_own_noise(whole):
    x, _, _ = noisy_pictures(3)
    sigma, field = torch.tensor([3.0, 90.0, 20.0]) / 255, torch.tensor([0.0, 16.0, 60.0]) / 255
    alone = [whole.denoise(x[row : row + 1], sigma[row : row + 1], field[row : row + 1]) for row in range(3)]
    assert torch.equal(whole.denoise(x, sigma, field), torch.cat(alone))


def test_any_size_and_what_is_no_number_stays_visible(whole):
    x, sigma, field = (part[:1] for part in noisy_pictures(1, 48))
    x = x[..., :37, :45].clone()
    x[0, 0, 3, 4] = torch.nan
    result = whole.denoise(x, sigma, field)
    assert result.shape == x.shape
    assert result.isnan().sum() == 1


@pytest.mark.parametrize("low", [-0.2785, -3.0])
def test_eight_bit_convolutions_are_exact(low):
    layer = torch.nn.Conv2d(32, 16, 3, padding=1)
    torch.nn.init.normal_(layer.weight)
    ours = _Int8Conv(layer, (low, 3.0))
    x = torch.randint(0, 256, (2, 32, 8, 8), dtype=torch.uint8)
    weight = layer.weight.detach().double()
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 63
    sums = F.conv2d(x.double() - ours.zero, (weight / step).round(), padding=1)
    assert torch.equal(ours._sums(x).double(), sums)
    values = (x.double() - ours.zero) * ours.step
    right = F.conv2d(values, weight, layer.bias.detach().double(), padding=1)
    assert (ours(x) / 256 - right).abs().mean() < 0.02 * right.abs().mean()


def test_the_largest_inputs_of_the_precise_layers_are_added_exactly():
    layer = torch.nn.Conv2d(64, 12, 3, padding=1)
    ours = _ExactConv(layer, 1.0, 1024)
    ours.scale, ours.offset = torch.ones(12, 1, 1), torch.zeros(12, 1, 1)
    x = 1024 * ours.weight[:1].sign()  # all products of one place have one sign
    assert torch.equal(ours(x).double(), F.conv2d(x.double(), ours.weight.double(), padding=1))


def test_silu_from_the_table():
    table = _SiluTable(5.0, 5.2785 / 255, 13, torch.uint8)
    values = torch.linspace(-20, 20, 1001).view(1, 1, 1, -1)
    found = (table((values * table.scale + table.offset).clone()).float() - 13) * 5.2785 / 255
    assert (found - F.silu(values).clamp(max=5)).abs().max() < 0.6 * 5.2785 / 255 + 12 / 4096


def test_ranges_are_measured_and_lie_beside_the_weights(tmp_path):
    denoiser = make_denoiser(make_net(blocks=(1, 1, 1)))
    ranges = measure_ranges(denoiser, [noisy_pictures(4)])
    assert not any(layer._forward_pre_hooks for layer in denoiser.net.modules())
    assert ranges["middle.0.first"][0] >= -0.2785
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"weights")
    write_ranges(weights, ranges)
    ours = quantise_denoiser(denoiser, weights)
    assert isinstance(ours.net, Int8Pocket)
    x, sigma, field = noisy_pictures(4)
    estimates = [model.estimate(x, sigma, field) for model in (denoiser, ours)]
    assert (estimates[1] - estimates[0]).square().mean() < 0.02 * estimates[0].square().mean()


def test_what_cannot_be_whole_is_refused(tmp_path):
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"own\.safetensors: precision int8: these weights have no ranges.*fp32"):
        quantise_denoiser(make_denoiser(), weights)
    with pytest.raises(ModelError, match="architecture pocket; use --precision fp32"):
        quantise_denoiser(make_denoiser(torch.nn.Conv2d(3, 3, 1)), weights)
    beside = tmp_path / "own.int8.json"
    beside.write_text("[]")
    with pytest.raises(ModelError, match="does not hold ranges"):
        quantise_denoiser(make_denoiser(), weights)
    write_ranges(weights, {"up": (-1.0, 1.0)})
    with pytest.raises(ModelError, match="not of this network"):
        quantise_denoiser(make_denoiser(), weights)
    weights.write_bytes(b"other weights")
    with pytest.raises(ModelError, match="belongs to other weights"):
        quantise_denoiser(make_denoiser(), weights)


PURIFY = """
import json, torch
from tests.nets.test_int8 import purified_hash
print(json.dumps([torch.backends.cpu.get_cpu_capability(), purified_hash()]))
"""
PROCESSORS = {
    "AVX2, another library's sums": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "COMPATIBLE",
        "OMP_NUM_THREADS": "1",
        "JSIMD_FORCENONE": "1",  # JPEG without vectors
    },
    "AVX-512 without VNNI": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "AVX2 with VNNI": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"},
    "SSE 4.1": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def purified_hash() -> str:
    """Of the bytes of pictures purified by all that computes in whole numbers."""
    pictures = smooth_pictures(64).mul(255).round().div(255)
    settings = purifier_settings("despeckle+jpeg+fast", overrides={"precision": "int8"})
    purifier = build_purifier(settings, device=torch.device("cpu"))
    noise = Noise(0, "purify", [str(row) for row in range(64)])
    return hashlib.sha256(to_uint8(purifier.purify(pictures, noise=noise)).tobytes()).hexdigest()


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs an x86 processor with AVX2")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if number else name for number, name in enumerate(PROCESSORS)]
)
def test_every_processor_gives_the_same_bytes(name):
    command = [sys.executable, "-c", PURIFY]
    answer = subprocess.run(command, env=os.environ | PROCESSORS[name], capture_output=True, text=True, check=True)
    capability, found = json.loads(answer.stdout)
    assert capability == (
        "AVX2" if "ATEN_CPU_CAPABILITY" in PROCESSORS[name] else torch.backends.cpu.get_cpu_capability()
    )
    assert found == purified_hash()

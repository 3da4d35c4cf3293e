"""The importer against a slow network written from the specification, by the checkpoint's own tensor names."""

import math

import pytest
import torch
from torch.nn import functional as F

from unpoison.core.errors import ModelError
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.improved_diffusion import import_improved_diffusion
from unpoison.nets.weights import load_any

pytest.importorskip("diffusers")

DOWN = {4: 128, 8: 256, 12: 256}  # input block -> width of its strided convolution
UP = {3: 1, 7: 2, 11: 2}  # output block -> place of its upsampling convolution
INPUT_ATTENTION = (5, 6, 7, 9, 10, 11)
OUTPUT_ATTENTION = range(4, 12)


def write_shapes():
    """Shapes of the 446 tensors, from the table of the specification."""
    shapes = {}

    def layer(name, *weight):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    def residual(name, out, inside):
        layer(f"{name}.in_layers.0", inside)
        layer(f"{name}.in_layers.2", out, inside, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * out, 512)
        layer(f"{name}.out_layers.0", out)
        layer(f"{name}.out_layers.3", out, out, 3, 3)
        if out != inside:
            layer(f"{name}.skip_connection", out, inside, 1, 1)

    def attention(name):
        layer(f"{name}.norm", 256)
        layer(f"{name}.qkv", 768, 256, 1)
        layer(f"{name}.proj_out", 256, 256, 1)

    layer("time_embed.0", 512, 128)
    layer("time_embed.2", 512, 512)
    layer("input_blocks.0.0", 128, 3, 3, 3)
    for block in range(1, 16):
        if block in DOWN:
            layer(f"input_blocks.{block}.0.op", DOWN[block], DOWN[block], 3, 3)
            continue
        residual(f"input_blocks.{block}.0", 128 if block < 4 else 256, 128 if block < 6 else 256)
        if block in INPUT_ATTENTION:
            attention(f"input_blocks.{block}.1")
    residual("middle_block.0", 256, 256)
    attention("middle_block.1")
    residual("middle_block.2", 256, 256)
    for block in range(16):
        inside = 512 if block < 11 else 384 if block < 13 else 256
        residual(f"output_blocks.{block}.0", 256 if block < 12 else 128, inside)
        if block in OUTPUT_ATTENTION:
            attention(f"output_blocks.{block}.1")
        if block in UP:
            layer(f"output_blocks.{block}.{UP[block]}.conv", 256, 256, 3, 3)
    layer("out.0", 128)
    layer("out.2", 6, 128, 3, 3)
    return shapes


@pytest.fixture(scope="module")
def state():
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in write_shapes().items():
        tensor = torch.randn(shape, generator=random)
        if len(shape) > 1:
            state[name] = tensor / math.sqrt(math.prod(shape[1:]))
        elif name.endswith(".weight"):
            state[name] = 1 + 0.1 * tensor
        else:
            state[name] = 0.1 * tensor
    return state


@pytest.fixture(scope="module")
def model(state):
    return import_improved_diffusion(state)


def slow_unet(state, z, time):
    """[N, 3, 32, 32] and [N] to [N, 6, 32, 32], as section 4 of the specification says it."""

    def weights(name):
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def norm(name, h):
        return F.group_norm(h, 32, *weights(name), eps=1e-5)

    def conv(name, h, **options):
        return F.conv2d(h, *weights(name), **options)

    def residual(name, h):
        inner = conv(f"{name}.in_layers.2", F.silu(norm(f"{name}.in_layers.0", h)), padding=1)
        scale, shift = F.linear(F.silu(embedding), *weights(f"{name}.emb_layers.1"))[:, :, None, None].chunk(2, 1)
        inner = norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        inner = conv(f"{name}.out_layers.3", F.silu(inner), padding=1)
        skip = conv(f"{name}.skip_connection", h) if f"{name}.skip_connection.weight" in state else h
        return skip + inner

    def attention(name, h):
        flat = h.flatten(2)
        qkv = F.conv1d(norm(f"{name}.norm", flat), *weights(f"{name}.qkv"))
        heads = []
        for head in range(4):
            q, k, v = (qkv[:, 192 * head + 64 * part : 192 * head + 64 * (part + 1)] for part in range(3))
            shares = torch.softmax(torch.einsum("ncq,nck->nqk", q, k) / math.sqrt(64), dim=2)
            heads.append(torch.einsum("nqk,nck->ncq", shares, v))
        return h + F.conv1d(torch.cat(heads, 1), *weights(f"{name}.proj_out")).view_as(h)

    angles = time[:, None] * torch.exp(-math.log(10_000) * torch.arange(64) / 64)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    embedding = F.linear(F.silu(F.linear(embedding, *weights("time_embed.0"))), *weights("time_embed.2"))

    h = conv("input_blocks.0.0", z, padding=1)
    skips = [h]
    for block in range(1, 16):
        if block in DOWN:
            h = conv(f"input_blocks.{block}.0.op", h, stride=2, padding=1)
        else:
            h = residual(f"input_blocks.{block}.0", h)
            if block in INPUT_ATTENTION:
                h = attention(f"input_blocks.{block}.1", h)
        skips.append(h)
    h = residual("middle_block.2", attention("middle_block.1", residual("middle_block.0", h)))
    for block in range(16):
        h = residual(f"output_blocks.{block}.0", torch.cat([h, skips.pop()], dim=1))
        if block in OUTPUT_ATTENTION:
            h = attention(f"output_blocks.{block}.1", h)
        if block in UP:
            h = h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            h = conv(f"output_blocks.{block}.{UP[block]}.conv", h, padding=1)
    return conv("out.2", F.silu(norm("out.0", h)), padding=1)


def test_the_published_counts(state, model):
    assert len(state) == 446
    assert sum(tensor.numel() for tensor in state.values()) == 52_546_438
    assert sum(parameter.numel() for parameter in model.parameters()) == 52_546_438


def test_the_schedule_is_eclipse(model):
    assert (model.schedule.name, len(model.abar), model.time_scale, model.max_index) == ("cosine", 4000, 0.25, 3999)


@torch.inference_mode()
def test_equals_the_slow_network(state, model):
    z = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    time = torch.tensor([0.25, 24.75])
    expected = slow_unet(state, z, time)
    assert float(expected.std()) > 0.3
    assert float((model.net(z, time) - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("wrapper", [None, "net", "state_dict"])
def test_wrappers_prefixes_and_parameters(state, model, wrapper, tmp_path):
    path = tmp_path / "ema_0.9999_250000.pt"
    stored = {f"module.{name}": torch.nn.Parameter(tensor) for name, tensor in state.items()}
    torch.save(stored if wrapper is None else {wrapper: stored, "step": 250_000}, path)
    read = read_state(path)
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    if wrapper is None:
        again = load_any(path).state_dict()
        assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


def test_other_names_and_shapes_are_refused(state, tmp_path):
    wrong = dict(state, extra=torch.zeros(1))
    del wrong["middle_block.1.qkv.bias"], wrong["out.0.weight"]
    wrong["out.2.weight"] = torch.zeros(3, 128, 3, 3)
    wrong["middle_block.1.proj_out.weight"] = torch.zeros(256, 256)
    path = tmp_path / "model250000.pt"
    torch.save(wrong, path)
    with pytest.raises(ModelError) as caught:
        load_any(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    for part in (
        "2 missing",
        "middle_block.1.qkv.bias",
        "1 unexpected (extra)",
        "[3, 128, 3, 3]",
        "2 of another shape",
    ):
        assert part in text

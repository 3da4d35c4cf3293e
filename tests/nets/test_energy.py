"""The energy networks against slow ones written from the specification, by the published tensor names."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch.nn import functional as F

from unpoison.cli.main import cli
from unpoison.core.errors import ModelError, UnsafeFileError
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.energy import ConvEnergy, SnganEnergy
from unpoison.nets.pixel_energy import import_energy
from unpoison.nets.protocols import EnergyModel
from unpoison.nets.weights import load_model


def sngan_state(width: int = 8) -> dict[str, torch.Tensor]:
    """The 21 tensors that are published, filled at random."""
    shapes = {f"block{block}.{conv}": (width, width, 3, 3) for block in (1, 2, 3, 4) for conv in ("c1", "c2")}
    shapes |= {"block1.c1": (width, 3, 3, 3), "block1.c_sc": (width, 3, 1, 1), "block2.c_sc": (width, width, 1, 1)}
    random = torch.Generator().manual_seed(0)
    state = {f"{name}.weight": 0.3 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
    state |= {f"{name}.bias": 0.3 * torch.randn(width, generator=random) for name in shapes}
    return state | {"l5.weight": torch.randn(1, width, generator=random)}


def conv_state(width: int = 4) -> dict[str, torch.Tensor]:
    """The 10 tensors of the plain network."""
    shapes = [(width, 3, 3, 3), *((2**n * width, 2 ** (n - 1) * width, 4, 4) for n in (1, 2, 3)), (1, 8 * width, 4, 4)]
    random = torch.Generator().manual_seed(1)
    state = {}
    for layer, shape in zip((0, 2, 4, 6, 8), shapes, strict=True):
        state[f"f.{layer}.weight"] = 0.2 * torch.randn(shape, generator=random)
        state[f"f.{layer}.bias"] = 0.2 * torch.randn(shape[0], generator=random)
    return state


def slow_sngan(state, x):
    """Section 2.1 of the specification, a line for each sentence."""

    def conv(name, x):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[2] // 2)

    x = F.avg_pool2d(conv("block1.c2", F.relu(conv("block1.c1", x))), 2) + conv("block1.c_sc", F.avg_pool2d(x, 2))
    main = conv("block2.c2", F.relu(conv("block2.c1", F.relu(x))))
    x = F.avg_pool2d(main, 2) + F.avg_pool2d(conv("block2.c_sc", x), 2)
    for block in ("block3", "block4"):
        x = conv(f"{block}.c2", F.relu(conv(f"{block}.c1", F.relu(x)))) + x
    return F.linear(F.relu(x).mean(dim=(2, 3)), state["l5.weight"])[:, 0]


def slow_conv(state, x):
    for layer in (0, 2, 4, 6):
        stride = 1 if layer == 0 else 2
        x = F.conv2d(x, state[f"f.{layer}.weight"], state[f"f.{layer}.bias"], stride=stride, padding=1)
        x = F.leaky_relu(x, 0.05)
    return F.conv2d(x, state["f.8.weight"], state["f.8.bias"])[:, 0, 0, 0]


def pictures(count: int = 3, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("size", [(32, 32), (16, 24), (18, 30), (4, 4)])
def test_sngan_is_the_network_of_the_specification(size):
    model, architecture, arguments = import_energy(sngan_state())
    assert (architecture, arguments) == ("sngan-energy", {"width": 8})
    x = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(2)).mul(2).sub(1).requires_grad_()
    ours, slow = model(x), slow_sngan(sngan_state(), x)
    assert ours.shape == (3,)
    torch.testing.assert_close(ours, slow)
    gradients = [torch.autograd.grad(energies.sum(), x)[0] for energies in (ours, slow)]
    torch.testing.assert_close(*gradients)


def test_conv_is_the_network_of_the_specification():
    model, architecture, arguments = import_energy(conv_state())
    assert (architecture, arguments) == ("conv-energy", {"width": 4})
    for count in (1, 3):
        x = 2 * pictures(count) - 1
        torch.testing.assert_close(model(x), slow_conv(conv_state(), x))


@pytest.mark.parametrize(
    ("network", "width", "parameters"),
    [
        (SnganEnergy, 32, 66_848),
        (SnganEnergy, 64, 264_768),
        (SnganEnergy, 128, 1_053_824),
        (SnganEnergy, 256, 4_204_800),
        (ConvEnergy, 32, 693_569),
        (ConvEnergy, 64, 2_763_393),
        (ConvEnergy, 128, 11_031_809),
    ],
)
def test_parameter_counts(network, width, parameters):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in network(width).parameters()) == parameters


def test_defaults_are_the_published_widths():
    assert len(SnganEnergy().l5.weight[0]) == 128
    assert len(ConvEnergy().f[0].weight) == 32


def test_tensor_names_are_the_published_ones():
    assert set(SnganEnergy(8).state_dict()) == set(sngan_state())
    assert len(sngan_state()) == 21
    assert set(ConvEnergy(4).state_dict()) == set(conv_state())


def test_new_weights_are_xavier_uniform_and_biases_zero():
    net = SnganEnergy(64)
    bound = (6 / (9 * 64 + 9 * 64)) ** 0.5
    weight = net.block3.c1.weight
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert all(not value.any() for name, value in net.state_dict().items() if name.endswith("bias"))


def test_energies_are_float32_in_whatever_precision_and_take_pictures_from_0_to_1():
    model = import_energy(sngan_state())[0]
    x = pictures()
    exact = model.energy(x)
    assert torch.equal(exact, model(2 * x - 1))
    model.autocast_dtype = torch.bfloat16
    rough = model.to(memory_format=torch.channels_last).energy(x)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.03, atol=0.03)
    assert isinstance(model, EnergyModel)


def test_conv_refuses_pictures_of_another_size():
    with pytest.raises(ModelError, match="32x32 pixels only, not 64x64"):
        ConvEnergy(4)(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("state", [sngan_state(), conv_state()], ids=["sngan", "conv"])
@pytest.mark.parametrize("form", ["folder", "model.safetensors", "bare.pt", "wrapped.pt"])
def test_published_files_are_imported(form, state, tmp_path):
    path, out = tmp_path / form, tmp_path / "out.safetensors"
    if form == "folder":  # as the Hub has it
        path.mkdir()
        (path / "config.json").write_text('{"nf": 8, "patch_size": 1}')
        save_file(state, path / "model.safetensors")
    elif form == "model.safetensors":
        save_file(state, path)  # as PyTorchModelHubMixin writes it: without metadata of ours
    elif form == "bare.pt":
        torch.save(state, path)
    else:
        torch.save({"net": {f"module.{name}": value for name, value in state.items()}}, path)
    result = CliRunner().invoke(cli, ["models", "import", str(path), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.exception
    assert json.loads(result.output)["weights"] == str(out)
    slow = slow_sngan if "l5.weight" in state else slow_conv
    torch.testing.assert_close(load_model(out).energy(pictures()), slow(state, 2 * pictures() - 1))
    listed = CliRunner().invoke(cli, ["models", "list", str(tmp_path)]).output
    assert f"out.safetensors: {'sngan' if 'l5.weight' in state else 'conv'}-energy, raw, energy of images" in listed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("block4.c2.bias"), r"1 missing \(block4.c2.bias\)"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (lambda state: state.update({"l5.weight": torch.zeros(1, 9)}), r"l5.weight \[1, 9\] instead of \[1, 8\]"),
        # a patch size of 2, which was never published
        (lambda state: state.update({"block1.c1.weight": torch.zeros(8, 12, 3, 3)}), r"\[8, 12, 3, 3\] instead of"),
        (lambda state: state.update({"block1.c1.weight": torch.zeros(0)}), r"\[0\]; it must be \[width, 3, 3, 3\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message, tmp_path):
    state, path, out = sngan_state(), tmp_path / "bad.pt", tmp_path / "out.safetensors"
    change(state)
    torch.save(state, path)
    result = CliRunner().invoke(cli, ["models", "import", str(path), "--out", str(out)])
    assert isinstance(result.exception, ModelError)
    assert str(result.exception).startswith(str(path))
    assert not out.exists()
    with pytest.raises(ModelError, match=message):
        import_energy(read_state(path))


def test_a_hostile_file_runs_nothing(tmp_path):
    path, out = tmp_path / "bad.pt", tmp_path / "out.safetensors"
    torch.save({"block1.c1.weight": print}, path)
    result = CliRunner().invoke(cli, ["models", "import", str(path), "--out", str(out)])
    assert isinstance(result.exception, UnsafeFileError)
    assert not out.exists()

import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unpoison.core.errors import DataError, ModelError, UnpoisonError, UnsafeFileError
from unpoison.core.methods import load_method
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.methods import METHODS
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.schedules import Schedule
from unpoison.nets.weights import load_any, load_model, read_header, save_model

SMALL = {
    "compact": {"channels": 16},
    "pocket": {"channels": 16},
    "sngan-energy": {"width": 8},
    "conv-energy": {"width": 4},
    "eclipse-unet": {"channels": 32, "multipliers": [1, 2], "blocks": 1, "attention_levels": [1], "head_dim": 16},
    "puregen-unet": {"channels": 4, "norm_groups": 2, "head_dim": 4},
    "diffusers-unet": {"block_out_channels": [32, 32, 32, 32]},
}


class Evil:
    """Makes a file when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def build(architecture):
    if architecture.endswith("unet"):
        pytest.importorskip("diffusers")
    net = load_method(METHODS, architecture, kind="architecture")(**SMALL[architecture])
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    if architecture == "pocket":
        return PreconditionedDenoiser(net, sigma_min=0.01, sigma_max=0.4, field_max=0.25, perturbation=0.03).eval()
    if architecture.endswith("energy"):
        return PixelEnergy(net).eval()
    about = {"time_scale": 2.5, "max_index": 99, "learned_variance": getattr(net, "learned_variance", True)}
    return EpsilonModel(net, schedule=Schedule("cosine", 400), **about).eval()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "pocket.safetensors"
    save_model(
        path,
        build("compact"),
        architecture="compact",
        arguments=SMALL["compact"],
        kind="ema",
        settings={"steps": 3, "note": "é"},
    )
    return path


def test_weights_can_be_stored_in_half_the_bytes(tmp_path):
    model, path = build("pocket"), tmp_path / "x.safetensors"
    arguments = {"architecture": "pocket", "arguments": SMALL["pocket"], "kind": "ema", "settings": {}}
    save_model(path, model, dtype=torch.bfloat16, **arguments)
    assert {value.dtype for value in load_file(path).values()} == {torch.bfloat16}
    for name, value in load_model(path).net.state_dict().items():
        assert torch.equal(value, model.net.state_dict()[name].bfloat16().float())


def change_header(path, **changes):
    fields = json.loads(read_header(path).model_dump_json())
    fields["model"] |= changes.pop("model", {})
    fields |= changes
    save_file(load_file(path), path, metadata={"unpoison": json.dumps(fields)})


@pytest.mark.parametrize("architecture", sorted(METHODS))
def test_save_and_load_give_the_same_bits(architecture, tmp_path):
    model, path = build(architecture), tmp_path / "sub" / "x.safetensors"
    save_model(path, model, architecture=architecture, arguments=SMALL[architecture], kind="raw", settings={})
    again = load_model(path)
    z, index = torch.randn(2, 3, 32, 32), torch.tensor([0, 99])
    with torch.inference_mode():
        if architecture == "pocket":
            sigma, field = torch.tensor([0.01, 0.4]), torch.tensor([0.0, 0.25])
            assert torch.equal(model.denoise(z, sigma, field), again.denoise(z, sigma, field))
            assert (again.sigma_min, again.sigma_max, again.field_max, again.perturbation) == (0.01, 0.4, 0.25, 0.03)
        elif architecture.endswith("energy"):
            x = torch.rand(2, 3, 32, 32)
            assert torch.equal(model.energy(x), again.energy(x))
        else:
            (x0, v), (x0_again, v_again) = model.predict(z, index), again.predict(z, index)
            assert torch.equal(x0, x0_again)
            assert torch.equal(v, v_again) if model.learned_variance else v is v_again is None
            assert (again.schedule, again.time_scale, again.max_index) == (model.schedule, 2.5, 99)
            assert torch.equal(again.abar, model.abar)
    assert not again.training
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_loading_leaves_the_global_generator_alone(saved):
    before = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_header_tells_the_settings(saved):
    header = read_header(saved)
    assert (header.kind, header.settings, header.architecture) == ("ema", {"steps": 3, "note": "é"}, "compact")
    assert load_any(saved).max_index == 99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "layout 1"),
        ({"version": None}, "layout None"),
        ({"architecture": "compcat"}, "did you mean 'compact'"),
        ({"arguments": {"channels": 32}}, "another shape"),
        ({"arguments": {"channels": 10**6}}, "another shape"),
        ({"arguments": {"channels": 10**9}}, "overflow"),
        ({"arguments": {"chanels": 16}}, "chanels"),
        ({"arguments": {"channels": "x"}}, "str"),
        ({"model": {"schedule": {"name": "sigmoid", "steps": 10}}}, "sigmoid"),
        ({"model": {"schedule": {"name": "cosine"}}}, "schedule.steps"),
        ({"model": {"max_index": 400}}, "max_index 400"),
        ({"model": {"form": "other"}}, "form"),
        ({"kind": "best"}, "kind"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_header_is_refused(saved, changes, message):
    change_header(saved, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(saved))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"unpoison": "[1]"}, {"unpoison": "{"}])
def test_missing_or_broken_metadata_is_refused(tmp_path, metadata):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(ModelError, match=r"x\.safetensors"):
        load_model(path)


def test_weights_that_do_not_fit_are_refused(saved):
    header = read_header(saved)
    state = load_file(saved)
    state.pop("enter.bias")
    save_file(state, saved, metadata={"unpoison": header.model_dump_json()})
    with pytest.raises(ModelError, match=r"1 missing \(enter.bias\)"):
        load_model(saved)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_checkpoint_runs_nothing(tmp_path, legacy):
    path, marker = tmp_path / "ema.pt", tmp_path / "marker"
    torch.save({"net": Evil(marker)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafeFileError, match=r"ema\.pt.*asks for .posix.mkdir") as caught:
        load_any(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_hostile_pickle_runs_nothing(tmp_path):
    path, marker = tmp_path / "ema.pt", tmp_path / "marker"
    path.write_bytes(pickle.dumps({"net": Evil(marker)}))
    with pytest.raises(DataError, match=r"ema\.pt"):
        load_any(path)
    assert not marker.exists()


def test_an_archive_that_unfolds_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(1_000_000))
    with pytest.raises(UnsafeFileError, match="unfold to 1000000 bytes"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_refused(tmp_path, seed, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bytes(torch.randint(256, (257,), generator=torch.Generator().manual_seed(seed)).tolist()))
    with pytest.raises(UnpoisonError, match=r"not a readable|not a file of torch") as caught:
        load_any(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.zeros(100)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut short|the file is empty"):
        load_any(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, {1: torch.zeros(1)}, {"a": torch.zeros(1, device="meta")}])
def test_other_contents_are_refused(tmp_path, content):
    path = tmp_path / "x.pt"
    torch.save(content, path)
    with pytest.raises(DataError, match=r"x\.pt"):
        read_state(path)


def test_a_missing_file_is_refused(tmp_path):
    for name in ("x.pt", "x.safetensors"):
        with pytest.raises(ModelError, match="no such file"):
            load_any(tmp_path / name)


def test_safetensors_are_read_as_a_state(saved):
    assert "enter.weight" in read_state(saved)


def test_a_header_of_endless_blocks_ends(saved):
    state, header = load_file(saved), read_header(saved)
    for name, value in header.arguments.items():
        if isinstance(value, int):
            changed = header.model_copy(update={"arguments": {**header.arguments, name: 10**9}})
            save_file(state, saved, metadata={"unpoison": changed.model_dump_json()})
            with pytest.raises(ModelError, match=saved.name):
                load_model(saved)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_compiled_networks_are_taken_off(tmp_path, prefix):
    torch.save({f"{prefix}a": torch.ones(1), f"{prefix}b": torch.ones(2)}, tmp_path / "x.pt")
    assert list(read_state(tmp_path / "x.pt")) == ["a", "b"]

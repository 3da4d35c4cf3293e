"""Published diffusion models brought in on the command line."""

from __future__ import annotations

import json

import pytest
import torch

from unpoison.nets.puregen_unet import build_puregen_unet
from unpoison.nets.weights import load_model

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def unet():
    return build_puregen_unet(channels=32).unet


def test_a_folder_and_an_address(run, unet, tmp_path, monkeypatch):
    folder = tmp_path / "puregen-ddpm-textures"
    unet.save_pretrained(folder)
    code, text, _ = run("models", "import", folder, "--out", tmp_path / "a.safetensors", "--json")
    assert code == 0
    assert json.loads(text)["imported"] == "puregen-ddpm-textures"
    model = load_model(tmp_path / "a.safetensors")
    assert model.max_index == 249
    assert torch.equal(model.net.unet.state_dict()["conv_in.bias"], unet.state_dict()["conv_in.bias"])
    monkeypatch.setattr(
        "unpoison.data.formats.hub.fetch_model", lambda address: {"hf://who/puregen-ddpm-x": folder}[address]
    )
    assert run("models", "import", "hf://who/puregen-ddpm-x", "--out", tmp_path / "b.safetensors")[0] == 0
    assert load_model(tmp_path / "b.safetensors").max_index == 249


def test_a_file_of_the_old_kind(run, unet, tmp_path):
    path = tmp_path / "cifar10_DDPM[500]_nf[S].pt"
    torch.save(unet.state_dict(), path)
    assert run("models", "import", path, "--out", tmp_path / "a.safetensors")[0] == 0
    assert load_model(tmp_path / "a.safetensors").max_index == 499
    assert run("models", "import", path, "--out", tmp_path / "b.safetensors", "--max-index", 249)[0] == 0
    assert load_model(tmp_path / "b.safetensors").max_index == 249
    (tmp_path / "nothing").mkdir()
    code, _, said = run("models", "import", tmp_path / "nothing", "--out", tmp_path / "c.safetensors")
    assert code == 2
    assert "holds none of" in said
    assert not (tmp_path / "c.safetensors").exists()

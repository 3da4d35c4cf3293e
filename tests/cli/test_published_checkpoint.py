"""A checkpoint of the published size and names, from the .pt file to a purified set."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from nets.test_improved_diffusion import write_shapes

from unpoison.data import write
from unpoison.nets.shipped import SHIPPED


@pytest.mark.slow
def test_import_and_purify(tmp_path, make_set):
    random = torch.Generator().manual_seed(0)
    state = {
        f"module.{name}": torch.nn.Parameter(0.02 * torch.randn(shape, generator=random))
        for name, shape in write_shapes().items()
    }
    folder = tmp_path / "diff_ckpt" / "cifar10" / "test2000ps8000"
    folder.mkdir(parents=True)
    torch.save({"net": state}, folder / "ema_0.9999_250000.pt")
    write(make_set(4, side=32), tmp_path / "in.npz")

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "unpoison", *map(str, arguments), "--json"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]

    (checkpoint,) = set(json.loads(run("models", "list", tmp_path))["models"]) - set(SHIPPED)
    run("models", "import", tmp_path / checkpoint, "--out", tmp_path / "eclipse.safetensors")
    described = json.loads(run("models", "list", tmp_path))["models"]["eclipse.safetensors"]
    assert (described["architecture"], described["kind"]) == ("eclipse-unet", "ema")
    assert described["model"]["max_index"] == 3999
    facts = json.loads(
        run(
            *("purify", tmp_path / "in.npz", tmp_path / "out.npz", "--method", "eclipse", "--steps", 2),
            *("--model", tmp_path / "eclipse.safetensors"),
        )
    )
    assert facts["images"] == 4
    assert facts["sigma_255"] == pytest.approx(6.37, abs=0.01)

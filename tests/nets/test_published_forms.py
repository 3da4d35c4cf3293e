"""Forms in which published weights come, and what is said where they cannot be taken as they are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from unpoison.core.errors import DataError, ModelError
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.published import import_published
from unpoison.nets.weights import load_any


def test_prefixes_of_data_parallel_are_taken_off_safetensors_too(tmp_path):
    net, path = SnganEnergy(4), tmp_path / "model.safetensors"
    save_file({f"module.{name}": value for name, value in net.state_dict().items()}, path)
    model = import_published(read_state(path))[0]
    torch.testing.assert_close(model.net.state_dict(), net.state_dict(), rtol=0, atol=0)


def test_an_empty_file_holds_no_weights(tmp_path):
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(DataError, match="not weights by name"):
        read_state(tmp_path / "empty.safetensors")


@pytest.mark.parametrize("address", ["hf://SunayBhat1/puregen-ebm-cifar10", "puregen-ebm-cifar10", "a.safetensors"])
def test_models_of_several_files_have_to_be_imported(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not address.startswith("hf:"):
        (tmp_path / address).mkdir()
    path = type(tmp_path)(address)
    with pytest.raises(ModelError, match=f"unpoison models import {address} --out FILE") as caught:
        load_any(path)
    assert str(caught.value).count(str(path)) <= 2


@pytest.mark.parametrize("size", [(3, 8), (8, 3), (1, 1)])
def test_pictures_that_cannot_be_halved_twice_are_refused(size):
    net = SnganEnergy(4)
    assert net(torch.zeros(2, 3, 4, 5)).shape == (2,)
    with pytest.raises(ModelError, match=f"from 4x4 pixels, not {size[1]}x{size[0]}"):
        net(torch.zeros(2, 3, *size))

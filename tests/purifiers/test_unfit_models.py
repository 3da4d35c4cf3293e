"""A model that cannot do its work ends a run with an error, not with a result, and leaves nothing in the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison import purify
from unpoison.core.errors import ModelError
from unpoison.core.images import ArrayImageSet
from unpoison.core.pixels import to_float
from unpoison.nets.weights import load_model, read_header, save_model
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


@pytest.fixture
def broken(tiny_model, tmp_path):
    """Weights of a diffusion model, one of which is no number."""
    model, header = load_model(tiny_model), read_header(tiny_model)
    with torch.no_grad():
        next(iter(model.net.parameters())).view(-1)[0] = torch.nan
    path = tmp_path / "broken.safetensors"
    save_model(path, model, architecture=header.architecture, arguments=header.arguments, kind="raw", settings={})
    return path


@pytest.mark.parametrize(("method", "fields"), [("fast", {}), ("puregen-ddpm", {"t": 2})])
def test_values_that_are_no_numbers_are_no_result(make_set, broken, method, fields):
    levels = make_set(3, side=16).array()
    for images in (np.array(levels), to_float(levels)):
        with pytest.raises(ModelError, match="its weights are broken"):
            purify(images, method, model=str(broken), **fields)


def test_pictures_that_a_model_does_not_take_leave_no_folder(tiny_energy, tmp_path):
    image_set = ArrayImageSet(np.zeros((3, 3, 3, 3), np.uint8), np.zeros(3, np.int64))
    run = PurifyRun(purifier_settings("puregen-ebm", overrides={"model": str(tiny_energy), "steps": 1}))
    with pytest.raises(ModelError, match="from 4x4 pixels, not 3x3"):
        purify_to(image_set, tmp_path / "out", run)
    assert not (tmp_path / "out.partial").exists()

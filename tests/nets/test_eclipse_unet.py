import sys

import pytest
import torch

from unpoison.core.errors import MissingExtraError, ModelError
from unpoison.nets.eclipse_unet import build_eclipse_unet

pytest.importorskip("diffusers")
SMALL = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention_levels": (1,), "head_dim": 16}


def test_the_published_size():
    with torch.device("meta"):
        net = build_eclipse_unet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 52_546_438
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize(("options", "channels"), [({}, 6), ({"learned_variance": False}, 3), ({"in_channels": 1}, 2)])
def test_small_relatives(options, channels):
    net = build_eclipse_unet(**SMALL, **options)
    inputs = options.get("in_channels", 3)
    out = net(torch.randn(2, inputs, 16, 16), torch.tensor([0.25, 24.75]))
    assert out.shape == (2, channels, 16, 16)


def test_widths_that_do_not_divide_are_refused():
    with pytest.raises(ModelError, match="head_dim 48"):
        build_eclipse_unet(**{**SMALL, "head_dim": 48})


def test_missing_diffusers_says_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"unpoison\[diffusers\]"):
        build_eclipse_unet(**SMALL)

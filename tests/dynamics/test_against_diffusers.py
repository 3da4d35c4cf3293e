"""PureGen's round trip gives what diffusers' own scheduler gives with the same network and the same noise."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.noise import Noise
from unpoison.dynamics.forward_reverse import forward_reverse
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.puregen_unet import build_puregen_unet
from unpoison.nets.schedules import Schedule

diffusers = pytest.importorskip("diffusers")
T = 20
NOISE = Noise(0, "test", ["a", "b"])


@torch.no_grad()
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_the_walk_is_that_of_the_published_scheduler(monkeypatch, variance):
    torch.manual_seed(0)
    net = build_puregen_unet(channels=4, norm_groups=2, head_dim=4).eval()
    model = EpsilonModel(
        net,
        schedule=Schedule("linear", 1000),
        max_index=249,
        learned_variance=False,
        largest_variance=variance == "fixed_large",
    )
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, variance_type=variance)
    z = scheduler.add_noise(2 * images - 1, NOISE.normal(images, "forward"), torch.tensor([T, T]))
    for index in reversed(range(T)):
        monkeypatch.setattr(
            "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, i=index, **__: NOISE.normal(images, i)
        )
        z = scheduler.step(net.unet(z, index).sample, index, z).prev_sample

    restored = forward_reverse(images, model, t=T, noise=NOISE)
    torch.testing.assert_close(restored, (z + 1) / 2, rtol=0, atol=1e-4)  # it counts in fp32, we in fp64
    assert (restored - images).abs().mean() > 0.01

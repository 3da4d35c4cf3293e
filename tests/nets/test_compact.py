from __future__ import annotations

import pytest
import torch

from unpoison.nets.compact import CompactUNet, embed_time


def make_net(**arguments) -> CompactUNet:
    torch.manual_seed(0)
    net = CompactUNet(**{"channels": 16, **arguments})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # the zero-initialised layers would hide everything
    return net.eval()


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (31, 29), (5, 3), (1, 1)])
def test_any_size_gives_epsilon_and_v(size):
    out = make_net()(torch.randn(2, 3, *size), torch.tensor([0.0, 24.75]))
    assert out.shape == (2, 6, *size)
    assert out.dtype == torch.float32


def test_grey_and_block_counts_are_arguments():
    net = make_net(in_channels=1, blocks=(0, 3, 2))
    assert (len(net.before), len(net.middle), len(net.after)) == (0, 3, 2)
    assert net(torch.randn(2, 1, 8, 8), torch.zeros(2)).shape == (2, 2, 8, 8)


def test_sizes_are_as_documented():
    assert 1.0e6 < sum(p.numel() for p in CompactUNet().parameters()) < 1.2e6
    assert 1.5e5 < sum(p.numel() for p in CompactUNet(channels=32).parameters()) < 3e5


def test_a_fresh_net_answers_zero():
    assert CompactUNet(channels=16)(torch.randn(1, 3, 8, 8), torch.ones(1)).abs().max() == 0


def test_every_parameter_has_a_gradient():
    net = make_net()
    net(torch.randn(2, 3, 8, 8), torch.tensor([1.0, 20.0])).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_gradient_is_finite_for_a_black_picture():
    net = CompactUNet(channels=16)
    torch.nn.init.normal_(net.leave.weight)
    torch.nn.init.zeros_(net.enter.bias)
    net(torch.zeros(1, 3, 8, 8), torch.zeros(1)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_images_do_not_see_each_other():
    net, z, time = make_net(), torch.randn(6, 3, 16, 16), torch.linspace(0, 25, 6)
    parts = torch.cat([net(z[:1], time[:1]), net(z[1:], time[1:])])
    torch.testing.assert_close(net(z, time), parts, rtol=1e-4, atol=1e-5)


def test_a_far_pixel_has_no_influence():
    net, z, time = make_net(), torch.randn(1, 3, 128, 16), torch.ones(1)
    other = z.clone()
    other[..., 96:, :] = 0
    torch.testing.assert_close(net(other, time)[..., :32, :], net(z, time)[..., :32, :])


def test_neighbouring_times_differ():
    steps = embed_time(torch.arange(0, 40, 0.25), 64).diff(dim=0).norm(dim=1)
    assert steps.min() > 0.5
    net, z = make_net(), torch.randn(1, 3, 16, 16)
    assert (net(z, torch.tensor([1.0])) - net(z, torch.tensor([1.25]))).abs().max() > 1e-3


def test_bfloat16_stays_close():
    net, z, time = make_net(), torch.randn(4, 3, 16, 16), torch.full((4,), 10.0)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(z, time).float()
    exact = net(z, time)
    assert (low - exact).norm() < 0.03 * exact.norm()
